//! Values as text for people and as JSON for programs. Rendering decides nothing.

pub(crate) mod configuration;
pub(crate) mod decision;
pub(crate) mod diagnostic;
pub(crate) mod explain;
mod sarif;

use std::io::Write;

use clap::builder::styling::{AnsiColor, Style};
use portcullis_engine::Counts;
use serde::Serialize;

pub(crate) use sarif::sarif;

/// Allow, matched, in order.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Deny, rejected.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Places, ids and other side remarks.
pub(crate) const DIM: Style = Style::new().dimmed();

/// One JSON value on one line.
pub(crate) fn write_json(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// One JSON value over several lines.
pub(crate) fn write_json_pretty(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What a policy set holds, in one phrase.
pub(crate) fn counts_phrase(counts: Counts) -> String {
    let Counts { users, groups, roles, policies, statements } = counts;
    let parts = [
        counted(users.into(), "user", "users"),
        counted(groups.into(), "group", "groups"),
        counted(roles.into(), "role", "roles"),
        counted(policies.into(), "policy", "policies"),
        counted(statements.into(), "statement", "statements"),
    ];
    parts.join(", ")
}

/// What a policy set holds, as an object.
pub(crate) fn counts_object(counts: Counts) -> serde_json::Value {
    let Counts { users, groups, roles, policies, statements } = counts;
    serde_json::json!({
        "Users": users, "Groups": groups, "Roles": roles, "Policies": policies, "Statements": statements,
    })
}

/// Text from a policy or a request on a terminal: control characters and text-direction marks are shown, not obeyed.
pub(crate) fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(hidden) {
        return text.to_owned();
    }
    text.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
