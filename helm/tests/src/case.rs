//! One way to use the chart: `cases/NAME.yaml`. Its first lines are comments of the form `# word: text`. `covers` says what
//! it is for and is required. `chart` names another chart of this repository, which has this one as a dependency; `values`
//! a file of values below those of the case; `manifest` a file of plain objects instead of a chart. `kube` is the
//! version of Kubernetes, `api-versions` names what the cluster has besides, `given` what the user has made before, `without` a rule that the case breaks
//! on purpose, and why. The rest is values.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::manifest::{self, Object, merged};
use crate::rig::Rig;

/// The name under which cases are installed.
pub(crate) const RELEASE: &str = "demo";
/// The namespace in which cases are installed.
pub(crate) const NAMESPACE: &str = "shop";

/// A file of values and what helm makes of it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    file: PathBuf,
    text: String,
    rendered: OnceLock<Vec<Object>>,
}

impl Case {
    /// All cases, by name.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        let folder = Rig::here().join("cases");
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            cases.push(Self::read(entry?.path())?);
        }
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(cases)
    }

    fn read(file: PathBuf) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let case = Self { name, file, text, rendered: OnceLock::new() };
        ensure!(case.said("covers").next().is_some(), "{} does not say what it covers", case.file.display());
        Ok(case)
    }

    /// The texts of a word in the comments at the head.
    pub(crate) fn said<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        let head = self.text.lines().map_while(|line| line.strip_prefix("# "));
        head.filter_map(move |line| line.strip_prefix(word)?.strip_prefix(": "))
    }

    /// Whether it uses the chart itself, not one that includes it.
    pub(crate) fn is_own(&self) -> bool {
        self.said("chart").chain(self.said("manifest")).next().is_none()
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.said("manifest").next().is_some()
    }

    fn value_files(&self) -> impl Iterator<Item = PathBuf> {
        self.said("values").map(|file| Rig::repository().join(file)).chain([self.file.clone()])
    }

    /// The values that it sets.
    pub(crate) fn values(&self) -> anyhow::Result<Value> {
        let mut values = Value::Null;
        for file in self.value_files() {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            values = merged(&values, &manifest::yaml(&text)?);
        }
        Ok(values)
    }

    /// The folder of the chart, its dependencies in it.
    pub(crate) fn chart(&self, rig: &Rig) -> anyhow::Result<PathBuf> {
        match self.said("chart").next() {
            None => Ok(Rig::chart()),
            Some(chart) => rig.with_dependencies(Path::new(chart)),
        }
    }

    /// The name, the chart and the flags that `helm template` and `helm install` take for this case.
    pub(crate) fn arguments(&self, rig: &Rig, namespace: &str) -> anyhow::Result<Vec<String>> {
        let chart = self.chart(rig)?.display().to_string();
        let mut arguments = vec![RELEASE.to_owned(), chart, format!("--namespace={namespace}")];
        arguments.extend(self.value_files().map(|file| format!("--values={}", file.display())));
        Ok(arguments)
    }

    /// What `helm template` takes besides, which asks no cluster what it is.
    pub(crate) fn cluster_flags(&self) -> impl Iterator<Item = String> {
        let versions = self.said("api-versions").flat_map(str::split_whitespace);
        let versions = versions.map(|version| format!("--api-versions={version}"));
        versions.chain(self.said("kube").map(|version| format!("--kube-version={version}")))
    }

    /// The objects, tests of helm included. Rendered once.
    pub(crate) fn render(&self, rig: &Rig) -> anyhow::Result<&[Object]> {
        if let Some(objects) = self.rendered.get() {
            return Ok(objects);
        }
        let text = match self.said("manifest").next() {
            Some(file) => std::fs::read_to_string(Rig::repository().join(file))?,
            None => {
                let arguments = self.arguments(rig, NAMESPACE)?.into_iter().chain(self.cluster_flags());
                rig.helm_text("template", arguments)?
            }
        };
        let objects = manifest::objects(&text)?;
        Ok(self.rendered.get_or_init(|| objects))
    }
}
