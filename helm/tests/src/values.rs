//! Holds `values.yaml`, `values.schema.json`, the README and the templates together: a value is explained, is in the
//! schema, is listed and does something, or it is not a value.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::case::Case;
use crate::manifest::{self, Look as _, merged};
use crate::rig::{Rig, text};

/// A value's place: the keys that lead to it.
type Path = Vec<String>;

fn read(file: &str) -> anyhow::Result<String> {
    let path = Rig::chart().join(file);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn defaults() -> anyhow::Result<Value> {
    manifest::yaml(&read("values.yaml")?)
}

fn schema() -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&read("values.schema.json")?)?)
}

/// The places of all values that are no maps with keys.
fn leaves(value: &Value) -> Vec<Path> {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let below = |(key, value): (&String, &Value)| {
                let key = key.clone();
                leaves(value).into_iter().map(move |rest| [vec![key.clone()], rest].concat())
            };
            map.iter().flat_map(below).collect()
        }
        _ => vec![Vec::new()],
    }
}

/// The places of all maps with keys, the whole included.
fn maps(value: &Value) -> Vec<Path> {
    let Value::Object(map) = value else { return Vec::new() };
    if map.is_empty() {
        return Vec::new();
    }
    let below = map
        .iter()
        .flat_map(|(key, value)| maps(value).into_iter().map(move |rest| [vec![key.clone()], rest].concat()));
    std::iter::once(Vec::new()).chain(below).collect()
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect()
}

/// The places that a comment of `values.yaml` explains. Such a comment begins with `# -- ` right above the key, and speaks
/// for all that is below it.
fn explained(text: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut comment = false;
    for line in text.lines() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if code.starts_with('#') {
            comment |= code.starts_with("# -- ");
            continue;
        }
        let key =
            code.split_once(':').map(|(key, _)| key.trim_matches('"')).filter(|key| !key.starts_with('-'));
        if let Some(key) = key {
            open.retain(|(outer, _)| *outer < indent);
            open.push((indent, key.to_owned()));
            if comment {
                found.push(open.iter().map(|(_, key)| key.clone()).collect());
            }
        }
        comment = false;
    }
    found
}

/// The places of `values.yaml` that are one value for a user: those that are explained.
fn units() -> anyhow::Result<Vec<Path>> {
    Ok(explained(&read("values.yaml")?))
}

/// Every value is explained, by itself or with the value that it is a part of.
pub(crate) fn commented() -> anyhow::Result<()> {
    let units = units()?;
    let bare =
        leaves(&defaults()?).into_iter().filter(|path| !units.iter().any(|unit| path.starts_with(unit)));
    let bare: Vec<String> = bare.map(|path| path.join(".")).collect();
    ensure!(bare.is_empty(), "no comment says what these are: {}", bare.join(", "));
    Ok(())
}

/// Follows references inside the schema.
fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    while let Some(place) = schema.text("/$ref").strip_prefix('#').filter(|place| !place.is_empty()) {
        schema = root.at(place);
    }
    schema
}

/// The schema of a place; none when there is none.
fn of_place<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut schema = resolved(root, root);
    for key in path {
        let named = schema.at("/properties").get(key);
        let other = Some(schema.at("/additionalProperties")).filter(|other| other.is_object());
        schema = resolved(root, named.or(other)?);
    }
    Some(schema)
}

/// Every value is in the schema with a type, every map refuses unknown keys, and beside the values that are explained the
/// schema knows no others.
pub(crate) fn strict() -> anyhow::Result<()> {
    let (root, defaults, units) = (schema()?, defaults()?, units()?);
    let mut found = Vec::new();
    for path in leaves(&defaults) {
        let typed = of_place(&root, &path).is_some_and(|schema| {
            ["type", "enum", "const", "oneOf", "anyOf"].iter().any(|word| schema.get(word).is_some())
        });
        if !typed {
            found.push(format!("{} has no type in the schema", path.join(".")));
        }
    }
    for path in maps(&defaults) {
        let Some(schema) = of_place(&root, &path) else { continue };
        let others = schema.at("/additionalProperties");
        if !others.is_object() && others.as_bool() != Some(false) {
            found.push(format!("{} takes unknown keys", place(&path)));
        }
        // What Kubernetes defines has more fields than the chart sets.
        if units.iter().any(|unit| path.starts_with(unit)) {
            continue;
        }
        for key in schema.at("/properties").as_object().into_iter().flatten().map(|(key, _)| key) {
            // helm's own: what a chart is given as a part of another one.
            if key != "global" && defaults.at(&pointer(&path)).get(key).is_none() {
                found.push(format!("{key} of {} is in the schema and not in values.yaml", place(&path)));
            }
        }
    }
    ensure!(found.is_empty(), "{}", found.join("\n  "));
    Ok(())
}

fn place(path: &[String]) -> String {
    if path.is_empty() { "the top".to_owned() } else { path.join(".") }
}

/// The rows of the README's table are the values, each once and in their order.
pub(crate) fn in_readme() -> anyhow::Result<()> {
    let readme = read("README.md")?;
    let rows: Vec<&str> =
        readme.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    let units: Vec<String> = units()?.iter().map(|path| path.join(".")).collect();
    let missing: Vec<&String> = units.iter().filter(|unit| !rows.contains(&unit.as_str())).collect();
    ensure!(missing.is_empty(), "the README lacks {missing:?}");
    let more: Vec<&&str> = rows.iter().filter(|row| !units.iter().any(|unit| unit == *row)).collect();
    ensure!(more.is_empty(), "the README lists {more:?}, which values.yaml does not explain");
    ensure!(rows.len() == units.len(), "the README lists a value twice");
    Ok(())
}

/// The README is what helm-docs makes of its template and `values.yaml`.
pub(crate) fn readme_made(rig: &Rig) -> anyhow::Result<()> {
    let mut command = std::process::Command::new(rig.tool("helm-docs")?);
    command.args(["--dry-run", "--log-level=warning", "--sort-values-order=file", "--chart-search-root"]);
    let made = text(command.arg(Rig::chart()).output()?, "helm-docs")?;
    ensure!(made.trim() == read("README.md")?.trim(), "the README is not what helm-docs makes; run it");
    Ok(())
}

/// The schema takes every case, and refuses an unknown key in every map and a wrong type of every value. That helm asks
/// the schema at all is tried once with helm itself.
pub(crate) fn refused(rig: &Rig, cases: &[Case]) -> anyhow::Result<()> {
    let defaults = defaults()?;
    let validator = jsonschema::validator_for(&schema()?)?;
    let mut found = Vec::new();
    for case in cases.iter().filter(|case| case.is_own()) {
        let values = merged(&defaults, &case.values()?);
        if let Err(error) = validator.validate(&values) {
            bail!("{} is refused: {error} at {}", case.name, error.instance_path());
        }
        for path in maps(&defaults) {
            let mut changed = values.clone();
            if let Some(Value::Object(map)) = changed.pointer_mut(&pointer(&path)) {
                // Not even a map of quantities takes this.
                map.insert("unknownKey".to_owned(), json!([true]));
            }
            if validator.is_valid(&changed) {
                found.push(format!("{} takes an unknown key", place(&path)));
            }
        }
        for path in &units()? {
            let mut changed = values.clone();
            if let Some(slot) = changed.pointer_mut(&pointer(path)) {
                *slot = if slot.is_array() { json!({"a": true}) } else { json!([true]) };
            }
            if validator.is_valid(&changed) {
                found.push(format!("{} takes a value of a wrong type", place(path)));
            }
        }
    }
    found.sort();
    found.dedup();
    ensure!(found.is_empty(), "{}", found.join("\n  "));
    let chart = Rig::chart().display().to_string();
    let output = rig.helm("template", ["x".to_owned(), chart, "--set=unknownKey=1".to_owned()])?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "helm renders with an unknown key");
    ensure!(error.contains("unknownKey"), "helm does not name the unknown key: {error}");
    Ok(())
}

/// Takes a value away; the maps around it stay.
fn without(values: &Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut changed = values.clone();
    changed.pointer_mut(&pointer(parents))?.as_object_mut()?.remove(last)?;
    Some(changed)
}

/// Every value is set by some case, or by some refusal, in a way that matters: without it helm renders something else, or
/// refuses what it took, or takes what it refused.
pub(crate) fn effective(rig: &Rig, cases: &[Case]) -> anyhow::Result<()> {
    let mut uses = Vec::new();
    for case in cases.iter().filter(|case| case.is_own()) {
        let objects = case.render(rig)?.iter().map(|object| object.value.clone()).collect();
        uses.push((case.values()?, case.cluster_flags().collect(), Some(objects)));
    }
    for refusal in refusals()?.iter().filter(|refusal| refusal.at("/chart").is_null()) {
        uses.push((refusal.at("/values").clone(), Vec::new(), None));
    }
    let mut idle = Vec::new();
    for path in units()? {
        let mut matters = false;
        for (values, flags, rendered) in &uses {
            if let Some(changed) = without(values, &path) {
                matters = render_of(rig, &changed, flags)? != *rendered;
            }
            if matters {
                break;
            }
        }
        if !matters {
            idle.push(path.join("."));
        }
    }
    ensure!(idle.is_empty(), "no case shows what these do: {}", idle.join(", "));
    Ok(())
}

/// What helm makes of values; none when it refuses them.
fn render_of(rig: &Rig, values: &Value, flags: &[String]) -> anyhow::Result<Option<Vec<Value>>> {
    let output = rig.helm(
        "template",
        template_arguments(rig, &Rig::chart(), values)?.into_iter().chain(flags.to_vec()),
    )?;
    if !output.status.success() {
        return Ok(None);
    }
    let objects = manifest::objects(&text(output, "helm template")?)?;
    Ok(Some(objects.into_iter().map(|object| object.value).collect()))
}

/// Arguments of `helm template` for values that are in no file.
pub(crate) fn template_arguments(
    rig: &Rig,
    chart: &std::path::Path,
    values: &Value,
) -> anyhow::Result<Vec<String>> {
    let (file, path) = tempfile::Builder::new().suffix(".json").tempfile_in(rig.scratch())?.keep()?;
    serde_json::to_writer(file, values)?;
    let (namespace, values) = (crate::case::NAMESPACE, path.display());
    let flags = [format!("--namespace={namespace}"), format!("--values={values}")];
    Ok([crate::case::RELEASE.to_owned(), chart.display().to_string()].into_iter().chain(flags).collect())
}

/// Values that the chart refuses: each has `says`, what helm has to say; `values`; and, where needed, `chart` (one that
/// includes the chart) and `kube` (a version of Kubernetes).
fn refusals() -> anyhow::Result<Vec<Value>> {
    let list = manifest::yaml(&std::fs::read_to_string(Rig::here().join("refused.yaml"))?)?;
    Ok(list.as_array().context("refused.yaml is no list")?.clone())
}

/// Values that do not go together are refused with the words that help, and no such word of the chart is left untried.
pub(crate) fn helpful(rig: &Rig) -> anyhow::Result<()> {
    let refusals = refusals()?;
    for refusal in &refusals {
        let chart = match refusal.text("/chart") {
            "" => Rig::chart(),
            chart => rig.with_dependencies(std::path::Path::new(chart))?,
        };
        let kube = Some(refusal.text("/kube")).filter(|version| !version.is_empty());
        let kube = kube.map(|version| format!("--kube-version={version}"));
        let arguments = template_arguments(rig, &chart, refusal.at("/values"))?;
        let output = rig.helm("template", arguments.into_iter().chain(kube))?;
        let (says, error) = (refusal.text("/says"), String::from_utf8_lossy(&output.stderr).into_owned());
        ensure!(!says.is_empty() && !output.status.success(), "{says:?} is not said, the values are taken");
        ensure!(error.contains(says), "{says:?} is not said, but {error}");
    }
    let mut untried = Vec::new();
    for entry in std::fs::read_dir(Rig::chart().join("templates"))? {
        let path = entry?.path();
        if path.is_file() {
            let text = std::fs::read_to_string(path)?;
            untried.extend(failures(&text).into_iter().map(str::to_owned));
        }
    }
    let tried = |start: &String| {
        let mut says = refusals.iter().map(|refusal| refusal.text("/says"));
        says.any(|says| start.starts_with(says) || says.starts_with(start.as_str()))
    };
    untried.retain(|start| !tried(start));
    ensure!(untried.is_empty(), "no entry of refused.yaml has the chart say {untried:#?}");
    Ok(())
}

/// How the messages begin with which a template fails, up to what is filled in.
fn failures(template: &str) -> Vec<&str> {
    let calls = template.split("fail ").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix("(printf ").unwrap_or(rest);
        let message = rest.strip_prefix('"')?.split('"').next()?;
        message.split('%').next()
    });
    calls.collect()
}
