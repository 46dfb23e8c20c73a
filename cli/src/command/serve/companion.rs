//! `serve -- COMMAND`: a command that runs beside the sidecar, from the first policy set until either ends.
//!
//! For tests and laptops. The command ends first and the sidecar after it, so that whatever the command does at its end is
//! still answered; its exit code becomes the exit code of `serve`.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use portcullis_server::{Lifecycle, Listeners};
use portcullis_store::Store;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::configuration::{ADDRESS_VARIABLE, HTTP_ADDRESS_VARIABLE, SOCKET_VARIABLE};
use crate::exit::Exit;

/// What a shell says of a command that a signal ended, above the signal's number.
const SIGNALLED: i32 = 128;

/// The command and how it is to end.
#[derive(Debug)]
pub(super) struct Companion {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
    /// How long it has after being asked to end.
    grace: Duration,
    ending: CancellationToken,
    /// It is told of its end by someone else.
    told: CancellationToken,
    killing: CancellationToken,
}

impl Companion {
    /// None without a command.
    pub(super) fn new(command: &[OsString], listeners: &Listeners, grace: Duration) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        let socket = listeners.grpc_socket().map(|path| path.to_string_lossy().into_owned());
        let variables = [
            (ADDRESS_VARIABLE, listeners.grpc_address().map(|address| address.to_string())),
            (SOCKET_VARIABLE, socket),
            (HTTP_ADDRESS_VARIABLE, listeners.http_address().map(|address| address.to_string())),
        ];
        Some(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            variables: variables.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            grace,
            ending: CancellationToken::new(),
            told: CancellationToken::new(),
            killing: CancellationToken::new(),
        })
    }

    /// Asks the command to end; `tell` unless somebody else has told it.
    pub(super) fn end(&self, tell: bool) {
        if !tell {
            self.told.cancel();
        }
        self.ending.cancel();
    }

    /// Ends the command at once.
    pub(super) fn kill(&self) {
        self.killing.cancel();
        self.ending.cancel();
    }

    /// Runs the command beside the server. Its end stops the server; a server that ends by itself ends the command.
    pub(super) async fn accompany<T>(
        &self,
        serving: impl Future<Output = T>,
        store: &Store,
        lifecycle: &Lifecycle,
    ) -> (T, anyhow::Result<Exit>) {
        let serving = async {
            let served = serving.await;
            self.kill();
            served
        };
        let running = async {
            let ended = self.run(store).await;
            lifecycle.stop();
            ended.map(Exit::OfCommand)
        };
        tokio::join!(serving, running)
    }

    async fn run(&self, store: &Store) -> anyhow::Result<u8> {
        let mut generations = store.subscribe();
        tokio::select! {
            loaded = generations.wait_for(|generation| *generation > 0) => loaded.map(drop)?,
            () = self.ending.cancelled() => return Ok(0),
        }
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run `{}`", self.program.to_string_lossy()))?;
        tracing::info!(command = %self.program.to_string_lossy(), pid = child.id(), "the command runs");
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.ending.cancelled() => self.see_off(&mut child).await,
        }
        .context("cannot wait for the command")?;
        Ok(code(status))
    }

    async fn see_off(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| !self.told.is_cancelled()) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::TERM);
        }
        tokio::select! {
            status = child.wait() => return status,
            () = self.killing.cancelled() => {}
            () = tokio::time::sleep(self.grace) => tracing::warn!("the command does not end and is killed"),
        }
        child.start_kill()?;
        child.wait().await
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| SIGNALLED + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}
