//! The dashboard, the alerts and their pages speak of metrics that are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::exposition::Page;
use crate::sidecar::{POLICIES, Sidecar};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The names of metrics in an expression: words with our prefixes that are no label.
fn mentioned(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("portcullis_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// The name of the family that a series belongs to.
fn family<'a>(name: &'a str, page: &Page) -> &'a str {
    let is_histogram = |base: &str| page.families.get(base).is_some_and(|kind| kind == "histogram");
    let stripped = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    stripped.filter(|base| is_histogram(base)).unwrap_or(name)
}

/// Every family that a process can show.
async fn every_family() -> Page {
    let state = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.state_directory = Some(state.path().join("state"));
    })
    .await;
    Page::read(&sidecar.page("/metrics").await.1)
}

fn expressions(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().into_iter().flatten();
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_dashboard_shows_every_metric_and_no_other() {
    let page = every_family().await;
    let dashboard: Value = serde_json::from_str(&read("helm/portcullis/dashboards/portcullis.json")).unwrap();
    assert_eq!((&dashboard["title"], &dashboard["uid"]), (&"Portcullis".into(), &"portcullis".into()));
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let mut shown = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let expressions = expressions(panel);
        assert!(!expressions.is_empty(), "{}", panel["title"]);
        let names: BTreeSet<_> = expressions.iter().flat_map(|expression| mentioned(expression)).collect();
        assert!(!names.is_empty(), "{}", panel["title"]);
        shown.extend(names.iter().map(|name| family(name, &page).to_owned()));
    }
    let there: BTreeSet<_> = page.families.keys().cloned().collect();
    let unknown: Vec<_> = shown.difference(&there).collect();
    let missing: Vec<_> = there.difference(&shown).collect();
    assert!(unknown.is_empty() && missing.is_empty(), "unknown {unknown:?}, not shown {missing:?}");
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        for name in mentioned(annotation["expr"].as_str().unwrap()) {
            assert!(page.families.contains_key(family(&name, &page)), "{name}");
        }
    }
}

/// One alert as its lines say it.
#[derive(Default)]
struct Alert {
    name: String,
    expr: String,
    severity: String,
    summary: String,
    description: String,
    runbook: String,
}

fn alerts(text: &str) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push(Alert { name: name.to_owned(), ..Alert::default() });
        }
        let Some(alert) = alerts.last_mut() else { continue };
        let Some((key, value)) = line.split_once(": ") else { continue };
        let value = value.trim_matches('\'').to_owned();
        match key {
            "expr" => alert.expr = value,
            "severity" => alert.severity = value,
            "summary" => alert.summary = value,
            "description" => alert.description = value,
            "runbook_url" => alert.runbook = value,
            _ => {}
        }
    }
    alerts
}

#[tokio::test]
async fn each_alert_is_about_metrics_that_are_there_and_has_its_page() {
    let page = every_family().await;
    let index = read("docs/operations/alerts/README.md");
    let alerts = alerts(&read("helm/portcullis/alerts/portcullis.rules.yaml"));
    assert!(alerts.len() > 20);
    for alert in &alerts {
        let name = &alert.name;
        let names = mentioned(&alert.expr);
        assert!(!names.is_empty(), "{name}");
        for metric in names {
            assert!(page.families.contains_key(family(&metric, &page)), "{name}: {metric}");
        }
        assert!(["critical", "warning", "info"].contains(&alert.severity.as_str()), "{name}");
        assert!(!alert.summary.is_empty() && !alert.description.is_empty(), "{name}");
        let place = format!("docs/operations/alerts/{name}.md");
        assert!(alert.runbook.ends_with(&format!("/{place}")), "{name}: {}", alert.runbook);
        let text = read(&place);
        assert!(
            text.starts_with(&format!("# {name}\n\n*{}*", alert.severity)),
            "{name}: another title or severity"
        );
        assert!(text.contains(&format!("```promql\n{}\n```", alert.expr)), "{name}: another expression");
        for heading in ["\n## Why\n", "\n## Look\n", "\n## Do\n"] {
            assert!(text.contains(heading), "{name}: {heading}");
        }
        assert!(
            index.contains(&format!("[{name}]({name}.md) | {} |", alert.severity)),
            "{name} is not in the index"
        );
    }
    let pages = std::fs::read_dir(repository().join("docs/operations/alerts")).unwrap().count();
    assert_eq!(pages, alerts.len() + 1, "a page without an alert");
}

/// Values of labels in expressions are values that the process gives.
#[tokio::test]
async fn labels_in_expressions_are_labels_that_are_there() {
    let page = every_family().await;
    let text = read("helm/portcullis/alerts/portcullis.rules.yaml")
        + &read("helm/portcullis/dashboards/portcullis.json");
    let text = text.replace("\\\"", "\"");
    for (label, value) in
        [("result", "rejected"), ("result", "refused"), ("reason", "EvaluationLimit"), ("decision", "Deny")]
    {
        let pair = format!("{label}=\"{value}\"");
        assert!(text.contains(&pair), "{pair}");
        assert!(page.samples.keys().any(|sample| sample.contains(&pair)), "{pair}");
    }
}
