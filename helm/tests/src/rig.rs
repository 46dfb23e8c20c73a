//! What the checks stand on: the folders of the chart and the programs. Programs come from the cache that `tools/install`
//! fills, helm also from the path; nothing is fetched or built here. A program that is not there is the reason why a check
//! did not run, never a check that passed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};

/// A check cannot run on this machine.
#[derive(Debug)]
pub(crate) struct Lacking(pub(crate) String);

impl fmt::Display for Lacking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Lacking {}

/// A check cannot run on this machine, and need not anywhere: `tools/install` does not build what it lacks.
#[derive(Debug)]
pub(crate) struct Spared(pub(crate) String);

impl fmt::Display for Spared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Spared {}

/// Folders, programs and a place for files that goes with it.
#[derive(Debug)]
pub(crate) struct Rig {
    tools: Option<PathBuf>,
    copies: Mutex<BTreeMap<PathBuf, PathBuf>>,
    scratch: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("portcullis-helm-").tempdir()?;
        Ok(Self { tools: tools(), copies: Mutex::default(), scratch })
    }

    /// This crate.
    pub(crate) fn here() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// The repository.
    pub(crate) fn repository() -> PathBuf {
        Self::here().join("../..")
    }

    pub(crate) fn chart() -> PathBuf {
        Self::repository().join("helm/portcullis")
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// A program of the cache.
    pub(crate) fn tool(&self, name: &str) -> anyhow::Result<PathBuf> {
        let found = self.tools.as_ref().map(|folder| folder.join(name)).filter(|file| file.is_file());
        let lacking =
            || Lacking(format!("{name} is not there; helm/tests/tools/install builds it where Go is"));
        Ok(found.or_else(|| (name == "helm").then(|| on_path(name)).flatten()).ok_or_else(lacking)?)
    }

    /// The program under test: `PORTCULLIS_PROGRAM`, or that of this build.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        let built = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("../portcullis"));
        let program = variable("PORTCULLIS_PROGRAM").map_or_else(built, Ok)?;
        let lacking =
            |_| Lacking(format!("{} is not there; cargo build -p portcullis makes it", program.display()));
        Ok(program.canonicalize().map_err(lacking)?)
    }

    /// A command of the cache, which sees no setting, cache or repository of who runs the checks.
    pub(crate) fn command(&self, tool: &str) -> anyhow::Result<Command> {
        Ok(self.bare(&self.tool(tool)?))
    }

    /// A command of the path that is not built for these checks: its sources are too many.
    pub(crate) fn spare_command(&self, program: &str) -> anyhow::Result<Command> {
        let lacking = || Spared(format!("there is no {program} on the path"));
        Ok(self.bare(&on_path(program).ok_or_else(lacking)?))
    }

    fn bare(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.scratch());
        command
    }

    /// Runs helm.
    pub(crate) fn helm(
        &self,
        verb: &str,
        arguments: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Output> {
        self.command("helm")?.arg(verb).args(arguments).output().context("cannot run helm")
    }

    /// What helm printed; an error when it failed.
    pub(crate) fn helm_text(
        &self,
        verb: &str,
        arguments: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<String> {
        text(self.helm(verb, arguments)?, &format!("helm {verb}"))
    }

    /// A copy of the chart that differs in its version alone.
    pub(crate) fn newer_chart(&self) -> anyhow::Result<PathBuf> {
        let copy = self.scratch().join("newer");
        copy_folder(&Self::chart(), &copy)?;
        let file = copy.join("Chart.yaml");
        let text = std::fs::read_to_string(&file)?;
        let lines =
            text.lines().map(|line| if line.starts_with("version: ") { "version: 99.0.0" } else { line });
        std::fs::write(&file, lines.collect::<Vec<_>>().join("\n"))?;
        Ok(copy)
    }

    /// A copy of a chart of this repository, given by its path in it, with the charts it depends on. Made once.
    pub(crate) fn with_dependencies(&self, chart: &Path) -> anyhow::Result<PathBuf> {
        let mut known = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = known.get(chart) {
            return Ok(copy.clone());
        }
        // Beside a copy of what it depends on, at the same distance as in the repository.
        let root = self.scratch().join("charts");
        let copy = root.join(chart);
        for folder in [chart, Path::new("helm/portcullis")] {
            if !root.join(folder).exists() {
                copy_folder(&Self::repository().join(folder), &root.join(folder))?;
            }
        }
        self.helm_text("dependency", ["update".to_owned(), copy.display().to_string()])?;
        known.insert(chart.to_owned(), copy.clone());
        Ok(copy)
    }
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The output of a command that must have ended well.
pub(crate) fn text(output: Output, what: &str) -> anyhow::Result<String> {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{what}: {}\n{}{}", output.status, text.trim(), error.trim());
    Ok(text)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn tools() -> Option<PathBuf> {
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("PORTCULLIS_HELM_TOOLS").or_else(|| Some(cache()?.join("portcullis/helm-tools")))
}

/// Where a program is on the path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
