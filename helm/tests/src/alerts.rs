//! The alerts and the dashboard of the chart, judged by Prometheus' own tool: the rules are well formed, each fires when it
//! should, and none fires when all is well (`alerts.yaml`); what a panel asks can be asked. That metrics of these names are
//! there, and what the pages of the alerts say, is held by tests of the server.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::manifest::{self, Look as _, merged};
use crate::rig::{self, Rig};

const RULES: &str = "../portcullis/alerts/portcullis.rules.yaml";
const TESTS: &str = "alerts.yaml";

fn read(file: &str) -> anyhow::Result<Value> {
    manifest::yaml(&std::fs::read_to_string(Rig::here().join(file))?)
}

/// No alert is left untried.
pub(crate) fn tried() -> anyhow::Result<()> {
    let (rules, tests) = (read(RULES)?, read(TESTS)?);
    let groups = rules.list("/groups").iter().flat_map(|group| group.list("/rules"));
    let alerts: BTreeSet<&str> = groups.map(|rule| rule.text("/alert")).collect();
    let expected = tests.list("/tests").iter().flat_map(|test| test.list("/promql_expr_test"));
    let expected = expected.flat_map(|test| test.list("/exp_samples")).map(|sample| sample.text("/labels"));
    let fired: BTreeSet<&str> =
        expected.filter_map(|labels| labels.strip_prefix("{alertname=\"")?.split('"').next()).collect();
    ensure!(!alerts.is_empty() && alerts == fired, "not the same alerts: {alerts:?} and {fired:?}");
    Ok(())
}

/// They are rules, and fire as the tests say.
pub(crate) fn fire(rig: &Rig) -> anyhow::Result<()> {
    for (verb, file) in [("check", RULES), ("test", TESTS)] {
        let mut command = rig.spare_command("promtool")?;
        command.current_dir(Rig::here()).args([verb, "rules", file]);
        rig::text(command.output()?, &format!("promtool {verb} rules"))?;
    }
    Ok(())
}

/// Every panel of the dashboard asks something that Prometheus understands.
pub(crate) fn drawn(rig: &Rig) -> anyhow::Result<()> {
    let dashboard = read("../portcullis/dashboards/portcullis.json")?;
    let panels = dashboard.list("/panels").iter().flat_map(|panel| panel.list("/targets"));
    // Grafana puts a time and names in the place of its variables.
    let asked = panels.map(|target| target.text("/expr").replace("$__rate_interval", "5m").replace('$', ""));
    let rules: Vec<Value> = asked.map(|expr| json!({"record": "panel", "expr": expr})).collect();
    ensure!(rules.len() > 20, "the dashboard has {} expressions", rules.len());
    let distinct =
        rules.iter().enumerate().map(|(at, rule)| merged(rule, &json!({"labels": {"at": at.to_string()}})));
    let groups = json!({"groups": [{"name": "dashboard", "rules": distinct.collect::<Vec<_>>()}]});
    let file = rig.scratch().join("dashboard.rules.yaml");
    std::fs::write(&file, groups.to_string())?;
    let mut command = rig.spare_command("promtool")?;
    rig::text(command.args(["check", "rules"]).arg(file).output()?, "promtool check rules")?;
    Ok(())
}
