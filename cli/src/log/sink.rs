//! Lines on their way to standard error: a thread of their own writes them.
//!
//! The writer of this kind in `tracing-appender` either waits for ever or drops at once, and tells nobody what it dropped.
//!
//! Invariant (NOBODY-WAITS): a reader of the log that has stopped holds up no one who logs, the end of the process included,
//! for longer than [`PATIENCE`]. What then finds no room is lost, counted and told of.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that may wait; as many may be under way.
const LINES_MAX: usize = 4_096;
/// How long a reader that is only slow is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes lines in; all clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Lines are under way.
    writing: bool,
    /// Somebody has waited for room in vain; nobody does again before lines were written.
    stuck: bool,
    lost: u64,
}

impl State {
    fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }
}

impl Sink {
    /// Starts the thread that writes to `out`, and calls `tell` with the number of lines that were lost once there is room
    /// again.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let sink = Self::default();
        let writer = sink.clone();
        thread::Builder::new().name("portcullis-log".to_owned()).spawn(move || writer.write_to(out, tell))?;
        Ok(sink)
    }

    /// Comes back when everything is written, or after a moment.
    pub(super) fn end(&self) {
        let waits = |state: &mut State| state.writing || !state.lines.is_empty();
        let ended = self.shared.changed.wait_timeout_while(self.lock(), PATIENCE, waits);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    fn push(&self, line: &[u8]) {
        let waits = |state: &mut State| state.is_full() && !state.stuck;
        let waited = self.shared.changed.wait_timeout_while(self.lock(), PATIENCE, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_full() {
            state.stuck = true;
            state.lost += 1;
        } else {
            state.lines.push_back(line.to_owned());
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    fn write_to(&self, mut out: impl Write, tell: impl Fn(u64)) {
        loop {
            let idle = |state: &mut State| state.lines.is_empty();
            let waited = self.shared.changed.wait_while(self.lock(), idle);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            let lines = std::mem::take(&mut state.lines);
            state.writing = true;
            drop(state);
            for line in lines {
                // Nobody is left to tell when standard error is closed.
                let _ = out.write_all(&line);
            }
            let mut state = self.lock();
            (state.writing, state.stuck) = (false, false);
            // Telling is a line itself, and its room is made by this thread.
            let lost = if state.is_full() { 0 } else { std::mem::take(&mut state.lost) };
            drop(state);
            self.shared.changed.notify_all();
            if lost > 0 {
                tell(lost);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call is one line.
impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes when it is let.
    struct Reader {
        go: Receiver<()>,
        lines: Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // For ever once nobody holds it any more.
            let _ = self.go.recv();
            let _ = self.lines.send(String::from_utf8(line.to_owned()).unwrap());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_holds_up_nobody_and_what_is_lost_is_told() {
        let ((go, going), (lines, read), (told, losses)) = (channel(), channel(), channel());
        let reader = Reader { go: going, lines };
        let mut sink = Sink::start(reader, move |lost| told.send(lost).unwrap()).unwrap();
        let count = 3 * LINES_MAX;
        for number in 0..count {
            sink.write_all(format!("{number}").as_bytes()).unwrap();
        }
        sink.end();
        assert!(read.try_recv().is_err(), "nothing was read yet");
        drop(go);
        sink.end();
        let lost = losses.recv().unwrap();
        let read: Vec<_> = read.iter().take(count - lost as usize).collect();
        assert!(read.len() >= LINES_MAX && lost as usize >= LINES_MAX, "{} read, {lost} lost", read.len());
        let first: Vec<_> = (0..LINES_MAX).map(|number| number.to_string()).collect();
        assert_eq!(read[..LINES_MAX], first, "in order");
    }
}
