//! The alerts of the chart, judged by Prometheus' own tool: the rules are well formed, each fires when it should, and none fires
//! when all is well (`alerts.yaml`). What their pages say is held together by a test of the server.

use std::collections::BTreeSet;

use anyhow::ensure;

use crate::manifest::{self, Look as _};
use crate::rig::{self, Rig};

const RULES: &str = "../portcullis/alerts/portcullis.rules.yaml";
const TESTS: &str = "alerts.yaml";

fn read(file: &str) -> anyhow::Result<serde_json::Value> {
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
