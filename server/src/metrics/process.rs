//! The process: what it is, and what it takes of the machine.
//!
//! Where `/proc` is not readable, its values are left out rather than reported as zero.

use std::fmt::Error;
use std::sync::LazyLock;

use procfs::process::{LimitValue, Process};

use super::family::Families;
use crate::tally::Tally;

/// Seconds since 1970 at which the process began, which does not change.
static STARTED: LazyLock<Option<f64>> = LazyLock::new(|| {
    let stat = Process::myself().and_then(|process| process.stat()).ok()?;
    let begun = stat.starttime as f64 / procfs::ticks_per_second() as f64;
    Some(procfs::boot_time_secs().ok()? as f64 + begun)
});

pub(super) fn write(families: &mut Families<'_>, tally: &Tally) -> Result<(), Error> {
    let version = env!("CARGO_PKG_VERSION");
    let commit = option_env!("PORTCULLIS_COMMIT").unwrap_or("unknown");
    let labels = [("version", version), ("commit", commit)];
    families.info("portcullis_build_info", "What this process was built from; always 1", &labels)?;
    let help = "Jumps of the wall clock against the monotonic one";
    families.counter("portcullis_clock_step", help, tally.clock_steps.value())?;
    let Ok(process) = Process::myself() else { return Ok(()) };
    if let Ok(stat) = process.stat() {
        let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        let help = "Processor time of the process in user and system mode";
        families.counter_f64("process_cpu_seconds", help, seconds)?;
        let resident = stat.rss.saturating_mul(procfs::page_size()) as f64;
        families.gauge("process_resident_memory_bytes", "Resident memory of the process", resident)?;
        families.gauge("process_virtual_memory_bytes", "Virtual memory of the process", stat.vsize as f64)?;
        families.gauge("process_threads", "Threads of the process", stat.num_threads as f64)?;
    }
    if let Ok(count) = process.fd_count() {
        families.gauge("process_open_fds", "Open file descriptors", count as f64)?;
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(max) = limits.max_open_files.soft_limit
    {
        families.gauge("process_max_fds", "Most file descriptors that may be open", max as f64)?;
    }
    if let Some(started) = *STARTED {
        let help = "When the process began, in seconds since 1970";
        families.gauge("process_start_time_seconds", help, started)?;
    }
    Ok(())
}
