//! Whether an action only reads, by the verb that its name begins with.
//!
//! A name says little about what a service of one's own does; like CloudTrail's member of the same name this is a help
//! for searching, and nothing is decided by it.

/// Verbs, each followed by the end of the name or by another word.
const VERBS: [&str; 21] = [
    "BatchDescribe",
    "BatchGet",
    "Check",
    "Count",
    "Describe",
    "Discover",
    "Download",
    "Estimate",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Preview",
    "Query",
    "Read",
    "Scan",
    "Search",
    "Select",
    "Simulate",
    "Validate",
    "View",
];

pub(super) fn is_read_only(name: &str) -> bool {
    VERBS.iter().any(|verb| {
        let (head, tail) = name.as_bytes().split_at_checked(verb.len()).unwrap_or_default();
        head.eq_ignore_ascii_case(verb.as_bytes()) && !tail.first().is_some_and(u8::is_ascii_lowercase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_end_where_a_word_ends() {
        for name in ["GetObject", "ListAllMyBuckets", "get", "Get", "HEADObject", "BatchGetItem", "Query"] {
            assert!(is_read_only(name), "{name}");
        }
        for name in ["PutObject", "Getaway", "Listen", "DeleteObject", "", "ge", "ReadyCluster", "Viewer"] {
            assert!(!is_read_only(name), "{name}");
        }
    }
}
