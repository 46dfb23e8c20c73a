//! A configuration told by its settings: what differs from another, and a digest of all.
//!
//! Invariant: no setting holds a secret; credentials are in files that settings name.

use serde_json::{Map, Value};

use super::Config;

impl Config {
    /// What is not as by default, `name = value` each.
    pub(crate) fn not_default(&self) -> Vec<String> {
        let differing = self.differing(&Self::default());
        differing.into_iter().map(|(name, value)| format!("{name} = {value}")).collect()
    }

    /// The settings whose values are not those of `other`, with their values here.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<(String, Value)> {
        let others = other.members();
        self.members().into_iter().filter(|(name, value)| others.get(name) != Some(value)).collect()
    }

    /// The BLAKE3 hash, in hexadecimal digits, of every setting as a line `name = value`, in the order of their names.
    pub(crate) fn digest(&self) -> String {
        let mut lines: Vec<_> =
            self.members().into_iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        lines.sort();
        blake3::hash(lines.concat().as_bytes()).to_string()
    }

    fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }
}
