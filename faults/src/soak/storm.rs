//! Who changes the policies: a thread that swaps whole policy sets, now and then a broken one, and sends SIGHUP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::questions::{broken_policies, policies};
use crate::config_map::ConfigMap;

/// Every so many swaps one is broken.
const BROKEN_EACH: u64 = 20;
/// A broken policy set stays at least as long, so that it is looked at.
const BROKEN_STAYS: Duration = Duration::from_millis(400);
/// One second in ten is a burst, with so many times as many swaps.
const BURST: u32 = 10;
const HANG_UP_EACH: Duration = Duration::from_millis(700);

/// The thread; it has to be ended.
pub(super) struct Storm {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Written>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) whole: u64,
    pub(super) broken: u64,
    pub(super) hang_ups: u64,
}

impl Storm {
    /// `newest` is told the tag of each whole policy set before it is in place.
    pub(super) fn start(map: ConfigMap, process: Pid, swaps: f64, newest: Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let pause = Duration::from_secs_f64(1.0 / swaps.clamp(0.01, 1_000.0));
        let thread = std::thread::spawn(move || {
            let mut rage = Rage { map, process, newest, written: Written::default(), version: 0 };
            rage.until(&stopped, pause)?;
            // The last policy set is a whole one.
            rage.swap(false)?;
            Ok(rage.written)
        });
        Self { stop, thread }
    }

    pub(super) fn end(self) -> anyhow::Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the storm broke"))?
    }
}

struct Rage {
    map: ConfigMap,
    process: Pid,
    newest: Arc<AtomicU64>,
    written: Written,
    version: u32,
}

impl Rage {
    fn until(&mut self, stopped: &AtomicBool, pause: Duration) -> anyhow::Result<()> {
        let (begun, mut hung_up) = (Instant::now(), Instant::now());
        while !stopped.load(Ordering::Relaxed) {
            let broken = u64::from(self.version) % BROKEN_EACH == BROKEN_EACH - 1;
            self.swap(broken)?;
            if hung_up.elapsed() > HANG_UP_EACH {
                hung_up = Instant::now();
                kill_process(self.process, Signal::HUP)?;
                self.written.hang_ups += 1;
            }
            let burst = begun.elapsed().as_secs() % 10 == 9;
            let pause = if burst { pause / BURST } else { pause };
            sleep(if broken { pause.max(BROKEN_STAYS) } else { pause });
        }
        Ok(())
    }

    fn swap(&mut self, broken: bool) -> anyhow::Result<()> {
        self.version += 1;
        if broken {
            self.written.broken += 1;
            return self.map.publish(self.version, &broken_policies(u64::from(self.version)));
        }
        self.written.whole += 1;
        self.newest.store(self.written.whole, Ordering::Relaxed);
        self.map.publish(self.version, &policies(self.written.whole))
    }
}
