//! What one publication changed, for people and for the audit trail.

use std::cmp::Ordering;
use std::fmt;

use portcullis_engine::PolicySet;

use crate::snapshot::Snapshot;

/// Names of files that a sentence tells; the rest is counted.
const TOLD_MAX: usize = 5;

/// How a policy set differs from the one that was served before it. Names of files are in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Files that were not there before.
    pub added: Vec<String>,
    /// Files that are not there any more.
    pub removed: Vec<String>,
    /// Files that hold something else.
    pub changed: Vec<String>,
    /// Statements in files.
    pub statements: Step,
    /// Those of them that deny.
    pub deny_statements: Step,
}

/// A number as it was and as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// In the policy set before.
    pub before: u32,
    /// In this one.
    pub after: u32,
}

impl Change {
    pub(crate) fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let step =
            |of: fn(&PolicySet) -> u32| Step { before: of(&before.policy_set), after: of(&after.policy_set) };
        let mut change = Self {
            statements: step(|policy_set| policy_set.counts().statements),
            deny_statements: step(PolicySet::deny_statements),
            ..Self::default()
        };
        let (mut old, mut new) = (before.sources.iter().peekable(), after.sources.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return change,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.name().cmp(new.name()),
            };
            let gone = if order.is_le() { old.next() } else { None };
            let here = if order.is_ge() { new.next() } else { None };
            match (gone, here) {
                // The same text is compressed to the same bytes.
                (Some(old), Some(new)) if old.bytes() == new.bytes() => {}
                (Some(_), Some(new)) => change.changed.push(new.name().to_owned()),
                (Some(old), None) => change.removed.push(old.name().to_owned()),
                (None, Some(new)) => change.added.push(new.name().to_owned()),
                (None, None) => return change,
            }
        }
    }

    /// Fewer statements deny than before. That may be meant; a half-finished sync looks the same.
    #[must_use]
    pub fn loses_denials(&self) -> bool {
        self.deny_statements.after < self.deny_statements.before
    }
}

/// One sentence, such as `1 file changed (orders.json), 1 added (new.json); statements 4 -> 6, of them Deny 1 -> 1`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("changed", &self.changed), ("added", &self.added), ("removed", &self.removed)];
        let mut told = false;
        for (what, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            match (told, names.len()) {
                (true, count) => write!(f, ", {count} {what} (")?,
                (false, 1) => write!(f, "1 file {what} (")?,
                (false, count) => write!(f, "{count} files {what} (")?,
            }
            told = true;
            f.write_str(&names.get(..TOLD_MAX).unwrap_or(names).join(", "))?;
            match names.len().saturating_sub(TOLD_MAX) {
                0 => f.write_str(")")?,
                more => write!(f, " and {more} more)")?,
            }
        }
        if !told {
            f.write_str("no file changed")?;
        }
        write!(f, "; statements {}, of them Deny {}", self.statements, self.deny_statements)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_engine::LoadMode;

    use super::*;
    use crate::{Delivery, Store};

    fn policy(name: &str, effect: &str) -> String {
        format!(
            r#"{{"Policies": [{{"PolicyName": "{name}", "Arn": "arn:aws:iam::111122223333:policy/{name}",
                "PolicyDocument": {{"Version": "2012-10-17", "Statement": [
                    {{"Effect": "{effect}", "Action": "s3:GetObject", "Resource": "*"}}]}}}}]}}"#
        )
    }

    fn change(before: &[(&str, String)], after: &[(&str, String)]) -> Change {
        let (store, mut feed) = Store::fed();
        for (generation, files) in [(1, before), (2, after)] {
            let files =
                files.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into_bytes())).collect();
            feed.put(Delivery { files, load_mode: LoadMode::Lenient, revision: None, generation }).unwrap();
            assert_eq!(store.status().change.is_some(), generation > 1, "the first has nothing before it");
        }
        Change::clone(&store.status().change.unwrap())
    }

    #[test]
    fn every_file_is_told_by_what_became_of_it() {
        let before = [("a.json", policy("a", "Deny")), ("b.json", policy("b", "Allow"))];
        let after = [
            ("0.json", policy("zero", "Allow")),
            ("b.json", policy("b", "Deny")),
            ("c.json", policy("c", "Allow")),
            ("d.json", policy("d", "Allow")),
        ];
        let there = change(&before, &after);
        assert_eq!(there.added, ["0.json", "c.json", "d.json"]);
        assert_eq!(
            (there.removed.as_slice(), there.changed.as_slice()),
            (&["a.json".to_owned()][..], &["b.json".to_owned()][..])
        );
        assert!(!there.loses_denials(), "one went and one came");
        assert_eq!(
            there.to_string(),
            "1 file changed (b.json), 3 added (0.json, c.json, d.json), 1 removed (a.json); \
             statements 2 -> 4, of them Deny 1 -> 1"
        );
        let back = change(&after, &before);
        assert_eq!((back.added, back.removed, back.changed), (there.removed, there.added, there.changed));
    }

    #[test]
    fn fewer_denials_are_seen_and_many_names_counted() {
        let files: Vec<_> = (0..9).map(|n| (format!("{n}.json"), policy(&format!("p{n}"), "Deny"))).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let lost = change(&files, &files[..1]);
        assert!(lost.loses_denials());
        assert_eq!(
            lost.to_string(),
            "8 files removed (1.json, 2.json, 3.json, 4.json, 5.json and 3 more); statements 9 -> 1, of them Deny 9 -> 1"
        );
        let same = change(&files, &files);
        assert_eq!(same.to_string(), "no file changed; statements 9 -> 9, of them Deny 9 -> 9");
    }
}
