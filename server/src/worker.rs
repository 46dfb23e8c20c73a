//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays with the worker that it was handed to, so nothing it does is shared with another thread or waits
//! for one. Loading policies, telemetry and pages run elsewhere. Invariants: (FEWEST) a connection goes to a worker that
//! has fewest at that time; (SPEAK-UP) while all places are taken, nobody keeps one who says nothing, or begins to speak
//! and asks nothing.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Detached, Socket};
use crate::connection::{self, Site};
use crate::credentials::Entry;
use crate::supervise::supervised_here;
use crate::tally::{Tally, Task};
use crate::tls::{self, Tls};

/// Threads of one worker for work that blocks: the compiling of simulations, which has a bound of its own.
const BLOCKING_THREADS_MAX: usize = 8;

/// Where accepted connections go.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    workers: Arc<[Entrance]>,
    tally: Arc<Tally>,
    /// Told while somebody waits for a place.
    crowded: Arc<Notify>,
}

#[derive(Debug)]
struct Entrance {
    connections: mpsc::UnboundedSender<Handed>,
    load: Arc<AtomicUsize>,
}

/// A connection on its way to a worker, with all that counts it.
#[derive(Debug)]
struct Handed {
    socket: Detached,
    counted: Counted,
}

/// Counts as long as it lives: against the limit, in the worker's load, among the open connections.
#[derive(Debug)]
struct Counted {
    load: Arc<AtomicUsize>,
    tally: Arc<Tally>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.tally.connections.closed.add();
    }
}

impl Door {
    /// Gives a connection to the worker with the fewest.
    pub(crate) fn hand_over(&self, socket: Detached, permit: OwnedSemaphorePermit) {
        self.tally.connections.accepted.add();
        let fewest = self.workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        let Some(worker) = fewest else { return };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let counted =
            Counted { load: Arc::clone(&worker.load), tally: Arc::clone(&self.tally), _permit: permit };
        // The worker is gone only while the process ends; the connection is closed with what it was handed in.
        let _ = worker.connections.send(Handed { socket, counted });
    }

    /// Closes the connections that have said nothing for a while; others wait for their places.
    pub(crate) fn close_silent(&self) {
        self.crowded.notify_waiters();
    }

    /// Where connections are counted.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// When the workers have to be done.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// Longest silence before the first byte.
    pub(crate) first_byte: Duration,
    /// Cuts what is still open.
    pub(crate) cut: CancellationToken,
}

/// Starts `count` workers. Each ends when every door is gone and its last connection is closed, or with the cut.
///
/// # Errors
/// When a thread or its runtime cannot be made.
pub(crate) fn start(
    count: usize,
    ends: &Ends,
    tally: &Arc<Tally>,
    site: impl Fn() -> Site,
) -> io::Result<(Door, Vec<oneshot::Receiver<()>>)> {
    let (mut workers, mut endings) = (Vec::new(), Vec::new());
    let crowded = Arc::new(Notify::new());
    for number in 0..count.max(1) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .on_thread_start(yield_to_others)
            .build()?;
        let (connections, handed) = mpsc::unbounded_channel();
        let (ended, ending) = oneshot::channel();
        let (site, ends, crowded) = (Arc::new(site()), ends.clone(), Arc::clone(&crowded));
        let tally = Arc::clone(tally);
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let worker = Worker { site, ends, crowded, tally };
            worker.work(runtime, handed);
            // Nobody waits for a worker that was cut.
            let _ = ended.send(());
        })?;
        workers.push(Entrance { connections, load: Arc::new(AtomicUsize::new(0)) });
        endings.push(ending);
    }
    Ok((Door { workers: workers.into(), tally: Arc::clone(tally), crowded }, endings))
}

/// The runtime for everything but serving connections: accepting, loading policies, pages, telemetry. The calling thread
/// runs it; what blocks runs on threads that let those that serve go first.
///
/// # Errors
/// When the system refuses its means.
pub fn background_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().on_thread_start(yield_to_others).build()
}

/// Lets the threads that serve go first. For threads that only compile.
fn yield_to_others() {
    const NICENESS: i32 = 10;
    // Without the right to do so compiling competes with serving, which is no reason not to compile.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// What one thread serves with.
#[derive(Debug, Clone)]
struct Worker {
    site: Arc<Site>,
    ends: Ends,
    crowded: Arc<Notify>,
    tally: Arc<Tally>,
}

impl Worker {
    /// Serves what is handed to it, to the end. When it breaks, it goes on with the connections that it has.
    fn work(&self, runtime: Runtime, mut handed: mpsc::UnboundedReceiver<Handed>) {
        let open = TaskTracker::new();
        supervised_here(Task::Worker, &self.tally, || {
            runtime.block_on(self.ends.cut.run_until_cancelled(async {
                while let Some(Handed { socket, counted }) = handed.recv().await {
                    open.spawn(self.clone().serve(socket, counted));
                }
                open.close();
                open.wait().await;
            }));
        });
        runtime.shutdown_background();
    }

    /// Serves one connection. One that breaks takes no other along.
    async fn serve(self, socket: Detached, counted: Counted) {
        if AssertUnwindSafe(self.serve_socket(socket, &counted)).catch_unwind().await.is_err() {
            self.tally.panic();
            tracing::error!("a connection broke and is closed");
        }
    }

    async fn serve_socket(&self, socket: Detached, counted: &Counted) {
        let Ok(socket) = socket.attach() else { return };
        match first_byte(&socket, self.ends.first_byte, &self.crowded).await {
            Ok(Ok(())) => {
                let (entry, tls) = self.site.gate().entry(&socket);
                match tls {
                    None => connection::serve(socket, entry, Arc::clone(&self.site), &self.crowded).await,
                    // In a box, so that plain connections do not make room for what they never have.
                    Some(tls) => Box::pin(self.serve_protected(socket, entry, tls)).await,
                }
            }
            // The peer has gone.
            Ok(Err(_)) => {}
            Err(Silent) => counted.tally.connections.silent.add(),
        }
    }

    async fn serve_protected(&self, socket: Socket, mut entry: Entry, tls: &Tls) {
        match tls.accept(socket).await {
            Ok(protected) => {
                if let Some(name) = tls::peer_name(&protected) {
                    entry.peer = entry.peer.known_as(&name);
                }
                connection::serve(protected, entry, Arc::clone(&self.site), &self.crowded).await;
            }
            Err(error) => {
                self.tally.connections.unproved.add();
                tracing::debug!(%error, peer = %entry.peer, "a TLS handshake failed");
            }
        }
    }
}

/// How long a connection may say nothing although others wait for its place.
const PATIENCE: Duration = Duration::from_millis(100);

/// Until the first byte is there; an error when it does not come in time, or when the place is wanted and the peer has had
/// a moment to say something.
async fn first_byte(socket: &Socket, limit: Duration, crowded: &Notify) -> Result<io::Result<()>, Silent> {
    let mut byte = pin!(socket.first_byte());
    if let Ok(come) = timeout(PATIENCE.min(limit), &mut byte).await {
        return Ok(come);
    }
    tokio::select! {
        come = timeout(limit.saturating_sub(PATIENCE), byte) => come.map_err(|_| Silent),
        () = crowded.notified() => Err(Silent),
    }
}

/// Nothing came.
struct Silent;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_connection_goes_to_a_worker_that_has_fewest() {
        let (mut entrances, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (connections, handed) = mpsc::unbounded_channel();
            entrances.push(Entrance { connections, load: Arc::default() });
            workers.push(handed);
        }
        let door = Door { workers: entrances.into(), tally: Arc::default(), crowded: Arc::default() };
        let permits = Arc::new(Semaphore::new(9));
        let hand_over = || {
            let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
            door.hand_over(Detached::Unix(UnixStream::pair().unwrap().0), permit);
        };
        (0..6).for_each(|_| hand_over());
        let mut held: Vec<Vec<Handed>> = workers
            .iter_mut()
            .map(|worker| std::iter::from_fn(|| worker.try_recv().ok()).collect())
            .collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        // Two are closed on the second worker, and it gets the next two.
        held[1].clear();
        assert_eq!(permits.available_permits(), 5);
        (0..2).for_each(|_| hand_over());
        assert_eq!(workers.iter_mut().map(|worker| worker.len()).collect::<Vec<_>>(), [0, 2, 0]);
    }
}
