//! A process under test, and the ways to ask it.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use portcullis_client::{Client, Decision, Error, Request};
use portcullis_proto::v1::GetStatusResponse;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lab::Lab;
use crate::page;
use crate::policies::{ALICE, REPORT, SECRET};

/// Far longer than anything takes on a machine that is busy.
pub(crate) const NEVER: Duration = Duration::from_secs(25);

/// How a process is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    program: PathBuf,
    policies: PathBuf,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    /// A command in front of the program, which must become it.
    before: Vec<String>,
}

impl Plan {
    /// Free ports, a poll every 200 ms, nothing else.
    pub(crate) fn new(lab: &Lab, policies: &Path) -> Self {
        let plan = Self {
            program: lab.program().to_owned(),
            policies: policies.to_owned(),
            settings: Vec::new(),
            variables: Vec::new(),
            before: Vec::new(),
        };
        plan.set("listen", "127.0.0.1:0").set("http_listen", "127.0.0.1:0").set("poll_interval_ms", 200)
    }

    /// A setting, through the environment.
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// A variable that is no setting.
    pub(crate) fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Puts a command in front.
    pub(crate) fn before(mut self, words: &[&str]) -> Self {
        self.before.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut words = self.before.iter().map(PathBuf::from).chain([self.program.clone()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg("serve").arg(&self.policies);
        command.env_clear().env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        for (name, value) in &self.settings {
            command.env(format!("PORTCULLIS_{}", name.to_ascii_uppercase()), value);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it listens; not until it has policies.
    pub(crate) async fn start(&self) -> anyhow::Result<Sidecar> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the program")?;
        let (out, log) = (Lines::default(), Lines::default());
        out.follow(child.stdout.take().context("no output")?);
        log.follow(child.stderr.take().context("no log")?);
        let mut sidecar = Sidecar { child, out, log, address: String::new(), http: String::new() };
        let begun = Instant::now();
        loop {
            let lines = [sidecar.out.all(), sidecar.log.all()].concat();
            let of = |word: &str| lines.iter().find_map(|line| line.strip_prefix(word)).map(str::to_owned);
            let (grpc, http) = (of("gRPC listens on 127"), of("HTTP listens on "));
            if let Some(http) = http
                && let Some(rest) = grpc
            {
                sidecar.address = format!("127{rest}");
                sidecar.http = http;
                return Ok(sidecar);
            }
            if let Some(status) = sidecar.child.try_wait()? {
                bail!("it ended at once with {status}: {}", lines.join(" | "));
            }
            ensure!(begun.elapsed() < NEVER, "it does not say where it listens: {}", lines.join(" | "));
            pause().await;
        }
    }

    /// Starts it and waits until it serves the first policy set.
    pub(crate) async fn serving(&self) -> anyhow::Result<Sidecar> {
        let sidecar = self.start().await?;
        sidecar.until_ready().await?;
        Ok(sidecar)
    }
}

/// Lines of a stream as they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(&self, stream: impl Read + Send + 'static) {
        let lines = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(length) = reader.read_until(b'\n', &mut line)
                && length > 0
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                line.clear();
            }
        });
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running process; killed with the value.
#[derive(Debug)]
pub(crate) struct Sidecar {
    child: Child,
    pub(crate) out: Lines,
    pub(crate) log: Lines,
    /// Of gRPC over TCP.
    pub(crate) address: String,
    pub(crate) http: String,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The question that the good policies allow.
pub(crate) fn question() -> Request {
    Request::new(ALICE, "s3:GetObject", REPORT)
}

/// A moment between two looks.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(15)).await;
}

impl Sidecar {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn process(&self) -> anyhow::Result<Pid> {
        Pid::from_raw(i32::try_from(self.child.id())?).context("no process id")
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.process()?, signal)?)
    }

    /// Stops it, and waits until each of its threads has.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.pid());
        until("every thread stops", async || {
            let mut stopped = true;
            for task in std::fs::read_dir(&tasks)? {
                let text = std::fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
                stopped &= text.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'));
            }
            Ok(stopped)
        })
        .await
    }

    /// Kills it without a warning and waits until it is gone.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its end, when it comes within `limit`.
    pub(crate) async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(begun.elapsed() < limit, "it has not ended after {} ms", limit.as_millis());
            pause().await;
        }
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::builder(&self.address).timeout(Duration::from_secs(10)).connect().await?)
    }

    pub(crate) async fn ask(&self, request: Request) -> anyhow::Result<Decision> {
        Ok(self.client().await?.decide(request).await?)
    }

    /// May this be read by that user?
    pub(crate) async fn allows(&self, principal: &str, resource: &str) -> anyhow::Result<bool> {
        Ok(self.ask(Request::new(principal, "s3:GetObject", resource)).await?.is_allowed())
    }

    /// Alice may read her report and not what is secret.
    pub(crate) async fn serves_alice(&self) -> anyhow::Result<()> {
        ensure!(self.allows(ALICE, REPORT).await?, "alice may no longer read");
        ensure!(!self.allows(ALICE, SECRET).await?, "alice may read what is denied");
        Ok(())
    }

    /// The wire's reason for not answering; an error when it answers.
    pub(crate) async fn refusal(&self) -> anyhow::Result<String> {
        match self.client().await?.decide(question()).await {
            Ok(_) => bail!("there is an answer where there should be none"),
            Err(Error::Refused { code, reason, .. }) => Ok(format!("{code:?} {reason}")),
            Err(error) => bail!("another error than a refusal: {error}"),
        }
    }

    pub(crate) async fn status(&self) -> anyhow::Result<GetStatusResponse> {
        Ok(self.client().await?.status().await?)
    }

    pub(crate) async fn page(&self, path: &str) -> anyhow::Result<(u16, String)> {
        page::fetch(&self.http, path).await
    }

    pub(crate) async fn metric(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let (_, text) = self.page("/metrics").await?;
        Ok(page::metric(&text, name, label))
    }

    pub(crate) async fn ready(&self) -> anyhow::Result<bool> {
        Ok(self.page("/readyz").await?.0 == 200)
    }

    pub(crate) async fn until_ready(&self) -> anyhow::Result<()> {
        until("it is ready", async || self.ready().await).await
    }

    /// The first status that is as wanted.
    pub(crate) async fn until_status(
        &self,
        what: &str,
        wanted: impl Fn(&GetStatusResponse) -> bool,
    ) -> anyhow::Result<GetStatusResponse> {
        let client = self.client().await?;
        let begun = Instant::now();
        loop {
            let status = client.status().await?;
            if wanted(&status) {
                return Ok(status);
            }
            ensure!(begun.elapsed() < NEVER, "never: {what}");
            pause().await;
        }
    }

    pub(crate) async fn until_generation(&self, generation: u64) -> anyhow::Result<GetStatusResponse> {
        let what = format!("generation {generation}");
        self.until_status(&what, |status| status.generation >= generation).await
    }

    /// Two whole looks at the directory from now on.
    pub(crate) async fn until_scanned(&self) -> anyhow::Result<()> {
        let before = self.metric("portcullis_policy_scans_total", "").await?;
        until("two scans", async || {
            Ok(self.metric("portcullis_policy_scans_total", "").await? >= before + 2.0)
        })
        .await
    }

    /// Events of the log with this level.
    pub(crate) fn events(&self, level: &str) -> Vec<Value> {
        let lines = self.log.all();
        let events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event.get("level").and_then(Value::as_str) == Some(level)).collect()
    }

    /// Waits until the log or the output says it; a line takes its time through the pipe.
    pub(crate) async fn says(&self, text: &str) -> anyhow::Result<()> {
        until(&format!("a line with `{text}`"), async || {
            Ok([self.log.all(), self.out.all()].concat().iter().any(|line| line.contains(text)))
        })
        .await
    }

    /// Resident bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let kibibytes: u64 = self.status_line("VmRSS:")?.trim_end_matches(" kB").parse()?;
        Ok(kibibytes << 10)
    }

    /// Threads that live.
    pub(crate) fn threads(&self) -> anyhow::Result<usize> {
        Ok(self.status_line("Threads:")?.parse()?)
    }

    fn status_line(&self, name: &str) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.with_context(|| format!("no {name}"))?.trim().to_owned())
    }

    /// Seconds of processor time so far, in steps of 10 ms.
    pub(crate) fn processor_seconds(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let (_, rest) = text.rsplit_once(')').context("no name")?;
        let ticks: u64 =
            rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / 100.0)
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }
}

/// Waits for something that must come.
pub(crate) async fn until(
    what: &str,
    mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_so().await? {
        ensure!(begun.elapsed() < NEVER, "never: {what}");
        pause().await;
    }
    Ok(())
}
