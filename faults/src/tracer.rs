//! What is done to a running process from outside: strace on its system calls, a limit on its descriptors.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::sidecar::{NEVER, Sidecar, pause};

/// strace on a running process; it lets go with the value.
pub(crate) struct Tracer(Child);

impl Tracer {
    /// Attaches to all threads, and waits until it has.
    pub(crate) async fn attach(sidecar: &Sidecar, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("strace");
        command.args([
            "--quiet=attach",
            "--follow-forks",
            "-o",
            "/dev/null",
            "-p",
            &sidecar.pid().to_string(),
        ]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let tracer = Self(command.spawn().context("strace")?);
        let status = format!("/proc/{}/status", sidecar.pid());
        let begun = Instant::now();
        while fs::read_to_string(&status)?.contains("TracerPid:\t0\n") {
            ensure!(begun.elapsed() < NEVER, "strace does not attach");
            pause().await;
        }
        // The other threads follow in a moment.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // With SIGTERM it lets its processes go on; killed, it would stop them in the middle.
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Lowers the soft limit of a running process on its descriptors; the old limit.
pub(crate) fn limit_descriptors(sidecar: &Sidecar, soft: Option<u64>) -> anyhow::Result<Option<u64>> {
    let pid = Pid::from_raw(i32::try_from(sidecar.pid())?);
    let now = rustix::process::getrlimit(Resource::Nofile);
    let old = prlimit(pid, Resource::Nofile, Rlimit { current: soft, maximum: now.maximum })?;
    Ok(old.current)
}
