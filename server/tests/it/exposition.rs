//! A reader of the Prometheus text format 0.0.4 that accepts nothing the format does not allow.

use std::collections::{BTreeMap, BTreeSet};

/// One page, read.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Each family with its type.
    pub(crate) families: BTreeMap<String, String>,
    /// Each sample, written `name{label="value",..}` with its labels in order, and its value.
    pub(crate) samples: BTreeMap<String, f64>,
}

impl Page {
    /// Reads a page, and panics where it is malformed.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut page = Self::default();
        let mut helps = BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a help has words");
                assert!(is_name(name) && !words.is_empty(), "{line}");
                assert!(helps.insert(name.to_owned()), "two helps: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type has a word");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(helps.contains(name), "no help before {line}");
                assert!(
                    page.families.insert(name.to_owned(), kind.to_owned()).is_none(),
                    "two types: {line}"
                );
                current = name.to_owned();
            } else {
                page.sample(line, &current);
            }
        }
        page.check_histograms();
        page
    }

    /// The value of a sample, zero when there is none.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or_default()
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line:?}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').expect("labels end")),
            None => (series, ""),
        };
        assert!(is_name(name), "{line}");
        let kind = self.families.get(family).unwrap_or_else(|| panic!("no family: {line}"));
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands in {family}"));
        match kind.as_str() {
            "histogram" => assert!(["_sum", "_count", "_bucket"].contains(&suffix), "{line}"),
            _ => assert_eq!(suffix, "", "{line}"),
        }
        assert!(kind != "counter" || name.ends_with("_total"), "a counter ends in _total: {line}");
        let labels = read_labels(labels);
        let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), labels.len(), "a label twice: {line}");
        let number: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        assert!(kind == "gauge" || number >= 0.0, "{line}");
        let written: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let key =
            if written.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", written.join(",")) };
        assert!(self.samples.insert(key, number).is_none(), "a sample twice: {line}");
    }

    fn check_histograms(&self) {
        for (family, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let infinite = self.samples.get(&format!("{family}_bucket{{le=\"+Inf\"}}"));
            assert_eq!(infinite, self.samples.get(&format!("{family}_count")), "{family}");
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter_map(|(key, count)| {
                    let bound = key.strip_prefix(&format!("{family}_bucket{{le=\""))?.strip_suffix("\"}")?;
                    Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() }, *count))
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|lower, upper| lower.1 <= upper.1), "{family} is not cumulative");
        }
    }
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn read_labels(text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect("a label has a value");
        assert!(is_name(name) && !name.contains(':'), "{text}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("a value ends") {
                (at, '"') => break at,
                (_, '\\') => match characters.next().expect("an escape ends").1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    other => panic!("no escape: {other}"),
                },
                (_, '\n') => panic!("a raw line end"),
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        rest = after.get(end + 1..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}
