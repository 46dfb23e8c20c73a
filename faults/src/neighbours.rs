//! Callers that behave well, beside those that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use portcullis_client::Client;

use crate::sidecar::{Sidecar, question};

/// Calls between two, each on a connection of its own, with a pause between two calls.
const CALLERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);

/// Callers on a thread of their own, so that what the attacker costs itself is not counted as theirs.
pub(crate) struct Neighbours {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Calls>>,
}

/// What became of their calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    times: Vec<Duration>,
    errors: Vec<String>,
}

impl Calls {
    /// The time within which this part of a hundred was answered.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn no_errors(&self) -> anyhow::Result<()> {
        let first = self.errors.first().cloned().unwrap_or_default();
        ensure!(self.errors.is_empty(), "{} calls of others failed: {first}", self.errors.len());
        ensure!(!self.times.is_empty(), "no call of others was answered");
        Ok(())
    }
}

impl Neighbours {
    pub(crate) fn start(sidecar: &Sidecar) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (address, stopped) = (sidecar.address.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..CALLERS {
                    let client = Client::builder(&address).timeout(Duration::from_secs(5)).connect().await?;
                    tasks.spawn(call(client, Arc::clone(&stopped)));
                }
                let mut all = Calls::default();
                while let Some(calls) = tasks.join_next().await {
                    let Calls { times, errors } = calls?;
                    all.times.extend(times);
                    all.errors.extend(errors);
                }
                Ok(all)
            })
        });
        Self { stop, thread }
    }

    /// Their calls so far; they end.
    pub(crate) async fn end(self) -> anyhow::Result<Calls> {
        self.stop.store(true, Ordering::Release);
        while !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.thread.join().map_err(|_| anyhow::anyhow!("a neighbour broke"))?
    }
}

async fn call(client: Client, stop: Arc<AtomicBool>) -> Calls {
    let mut calls = Calls::default();
    while !stop.load(Ordering::Acquire) {
        let begun = Instant::now();
        match client.decide(question()).await {
            Ok(decision) if decision.is_allowed() => calls.times.push(begun.elapsed()),
            Ok(_) => calls.errors.push("alice is denied".to_owned()),
            Err(error) => calls.errors.push(error.to_string()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    calls
}

/// Runs an attack beside well-behaved callers: none of their calls may fail, and memory must stay bounded. Tells of their
/// 99th percentile, which on a machine that both share is no measure of the service alone.
pub(crate) async fn beside<T>(
    sidecar: &Sidecar,
    growth_max: u64,
    attack: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, String)> {
    let quiet = Neighbours::start(sidecar);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let quiet = quiet.end().await?;
    quiet.no_errors()?;
    let before = sidecar.resident()?;
    let noisy = Neighbours::start(sidecar);
    let outcome = attack.await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let grown = sidecar.resident()?.saturating_sub(before);
    let noisy = noisy.end().await?;
    noisy.no_errors()?;
    ensure!(grown < growth_max, "resident memory grew by {} KiB", grown >> 10);
    sidecar.serves_alice().await?;
    let told = format!(
        "others: {} calls, 0 errors, p99 {:.1} ms (quiet {:.1}); resident +{} KiB",
        noisy.count(),
        noisy.percentile(99).as_secs_f64() * 1e3,
        quiet.percentile(99).as_secs_f64() * 1e3,
        grown >> 10
    );
    let bound = quiet.percentile(99) * 10 + Duration::from_millis(100);
    ensure!(noisy.percentile(99) < bound, "others had to wait: {told}");
    Ok((outcome, told))
}
