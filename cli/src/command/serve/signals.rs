//! Signals, and what each of them asks for.
//!
//! | signal | |
//! |---|---|
//! | `SIGTERM`, `SIGINT` | drain and end; a second one cuts what is still open |
//! | `SIGHUP` | read everything again: policies, certificates, tokens, the audit file, the filter of the log |
//! | `SIGUSR1` | one line of the log with the state of the process |
//! | `SIGUSR2` | log everything, or again what is configured |
//! | `SIGPIPE` | nothing: a peer that went away is an error of its own connection |

use std::io::IsTerminal as _;

use anyhow::Context as _;
use portcullis_server::{Lifecycle, Reconfigured};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::companion::Companion;
use crate::log::Log;

/// Every signal that is listened to.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    dump: Signal,
    trouble: Signal,
}

enum Asked {
    End { from_terminal: bool },
    Reload,
    Dump,
    Trouble,
}

impl Signals {
    /// Takes the signals over from the system.
    pub(super) fn take() -> anyhow::Result<Self> {
        let take = |kind, name| signal(kind).with_context(|| format!("cannot handle {name}"));
        Ok(Self {
            terminate: take(SignalKind::terminate(), "SIGTERM")?,
            interrupt: take(SignalKind::interrupt(), "SIGINT")?,
            hang_up: take(SignalKind::hangup(), "SIGHUP")?,
            dump: take(SignalKind::user_defined1(), "SIGUSR1")?,
            trouble: take(SignalKind::user_defined2(), "SIGUSR2")?,
        })
    }

    /// Does what signals ask for, until it is dropped.
    pub(super) async fn obey(mut self, lifecycle: &Lifecycle, log: &Log, companion: Option<&Companion>) {
        let mut ending = false;
        loop {
            match self.next().await {
                Asked::End { .. } if ending => {
                    tracing::warn!("a second signal to end: cutting what is open");
                    if let Some(companion) = companion {
                        companion.kill();
                    }
                    lifecycle.cut();
                }
                Asked::End { from_terminal } => {
                    ending = true;
                    match companion {
                        // A terminal signals the whole group; the command has it already.
                        Some(companion) => companion.end(!from_terminal),
                        None => lifecycle.stop(),
                    }
                }
                Asked::Reload => {
                    tracing::info!("reading everything again");
                    lifecycle.reload();
                }
                Asked::Dump => lifecycle.dump(),
                Asked::Trouble => record(lifecycle, log.toggle_trouble(), "SIGUSR2"),
            }
        }
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End { from_terminal: false },
            _ = self.interrupt.recv() => Asked::End { from_terminal: std::io::stdin().is_terminal() },
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.dump.recv() => Asked::Dump,
            _ = self.trouble.recv() => Asked::Trouble,
        }
    }
}

/// Has a change of the log's filter recorded, if there was one.
pub(super) fn record(lifecycle: &Lifecycle, changed: Option<(String, String)>, cause: &'static str) {
    if let Some((from, to)) = changed {
        lifecycle.reconfigured(Reconfigured::Changed { setting: "log", from, to, cause });
    }
}
