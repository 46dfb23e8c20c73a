//! One way to use the chart, as a file of values: `cases/NAME.yaml`. Its first lines are comments of the form
//! `# word: text`: `covers` says what it is for and is required; `api-versions` names what the cluster has besides
//! Kubernetes; `without` names a rule that the case breaks on purpose, and why. The rest is what a user would write.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

use crate::manifest::{self, Object};
use crate::rig::Rig;

/// The name under which cases are installed.
pub(crate) const RELEASE: &str = "demo";
/// The namespace in which cases are installed.
pub(crate) const NAMESPACE: &str = "shop";

/// A file of values and what helm makes of it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// A chart, packed or not.
    pub(crate) chart: PathBuf,
    pub(crate) text: String,
    rendered: OnceLock<Vec<Object>>,
}

impl Case {
    /// All cases, by name.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        let folder = Rig::here().join("cases");
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            cases.push(Self::read(entry?.path(), Rig::chart())?);
        }
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(cases)
    }

    pub(crate) fn read(file: PathBuf, chart: PathBuf) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let case = Self { name, file, chart, text, rendered: OnceLock::new() };
        ensure!(case.said("covers").next().is_some(), "{} does not say what it covers", case.file.display());
        Ok(case)
    }

    /// The texts of a word in the comments at the head.
    pub(crate) fn said<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        let head = self.text.lines().map_while(|line| line.strip_prefix("# "));
        head.filter_map(move |line| line.strip_prefix(word)?.strip_prefix(": "))
    }

    /// Arguments of helm that every command takes for this case.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--namespace".to_owned(),
            NAMESPACE.to_owned(),
            "--values".to_owned(),
            self.file.display().to_string(),
        ];
        for version in self.said("api-versions").flat_map(str::split_whitespace) {
            arguments.extend(["--api-versions".to_owned(), version.to_owned()]);
        }
        arguments
    }

    /// The objects, tests of helm included. Rendered once.
    pub(crate) fn render(&self, rig: &Rig) -> anyhow::Result<&[Object]> {
        if let Some(objects) = self.rendered.get() {
            return Ok(objects);
        }
        let chart = self.chart.display().to_string();
        let mine = self.arguments();
        let mut arguments = vec!["template", RELEASE, &chart];
        arguments.extend(mine.iter().map(String::as_str));
        let objects = manifest::objects(&rig.helm_text(&arguments)?)?;
        Ok(self.rendered.get_or_init(|| objects))
    }
}
