//! Processes that end with this one, however it ends: each runs below a small shell that kills it when the shell's input
//! closes. What they say is kept in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Far longer than anything takes on a machine that is busy.
pub(crate) const NEVER: Duration = Duration::from_secs(120);

/// Runs its arguments, and kills them when its input closes: `read` returns then. The code of their end is kept in the file
/// that it is named after. What the child has begun is killed first: a program that has changed its user no longer ends with
/// the `unshare` above it.
const SCRIPT: &str = r#"
exec 3<&0
"$@" 3<&- &
child=$!
(read -r _ <&3; kill -9 $(cat /proc/$child/task/$child/children 2>/dev/null) $child 2>/dev/null) &
watch=$!
wait $child
code=$?
kill $watch
echo $code >"$0.part"
mv "$0.part" "$0"
"#;

fn end_of(log: &Path) -> PathBuf {
    log.with_extension("end")
}

/// A process that ends with this value, and with this process.
#[derive(Debug)]
pub(crate) struct Guarded {
    guard: Child,
    log: PathBuf,
}

impl Guarded {
    /// Starts a program with its arguments.
    pub(crate) fn start(words: &[String], log: PathBuf) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(SCRIPT).arg(end_of(&log)).args(words);
        let file = fs::File::create(&log)?;
        command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { guard: command.spawn().context("cannot run sh")?, log })
    }

    /// The process below the guard.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        child_of(self.guard.id())
    }

    /// The code with which it ended; none while it runs.
    pub(crate) fn try_code(&self) -> anyhow::Result<Option<i32>> {
        match fs::read_to_string(end_of(&self.log)) {
            Ok(text) => Ok(Some(text.trim().parse()?)),
            Err(_) => Ok(None),
        }
    }

    /// Waits for its end.
    pub(crate) fn code(&self) -> anyhow::Result<i32> {
        until("it ends", || self.try_code()).with_context(|| self.last_words())
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it said.
    pub(crate) fn last_words(&self) -> String {
        let text = self.said();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The guard may have ended by itself.
        let _: Result<ExitStatus, _> = self.guard.wait();
    }
}

/// The first child of a process, once there is one.
pub(crate) fn child_of(parent: u32) -> anyhow::Result<u32> {
    let file = format!("/proc/{parent}/task/{parent}/children");
    until(&format!("{parent} has a child"), || {
        let text = fs::read_to_string(&file).with_context(|| file.clone())?;
        Ok(text.split_whitespace().next().and_then(|word| word.parse().ok()))
    })
}

/// Waits for something that must come.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < NEVER, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
