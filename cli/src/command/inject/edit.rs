//! Changes of a YAML text: entries and items put in and cut out at places that a tree gives.
//!
//! Everything else stays byte for byte. What is put in stands before something that was there (the second entry of a
//! mapping, the first item of a list), so that cutting it out again leaves the bytes from before. Invariant: an edit is
//! refused where its place is not plain to see, never guessed.

use std::ops::Range;

use serde_json::{Map, Value};

use super::tree::{Content, Fault, Node};
use super::write;

/// Edits of one text, applied together.
#[derive(Debug)]
pub(super) struct Editor<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
}

impl<'t> Editor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, edits: Vec::new() }
    }

    /// The text with all edits.
    pub(super) fn finish(mut self) -> String {
        // Stable: what was put in at one place stays in the order in which it was.
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut edited = String::with_capacity(self.text.len());
        let mut done = 0;
        for (range, put) in &self.edits {
            edited.push_str(self.text.get(done..range.start).unwrap_or_default());
            edited.push_str(put);
            done = done.max(range.end);
        }
        edited.push_str(self.text.get(done..).unwrap_or_default());
        edited
    }

    /// Puts entries into a mapping. One call for each mapping.
    pub(super) fn add_entries(&mut self, map: &Node, entries: Map<String, Value>) -> Result<(), Fault> {
        if entries.is_empty() {
            return Ok(());
        }
        let flow: Vec<_> = entries.iter().map(|(key, value)| write::flow_entry(key, value)).collect();
        if map.is_null() {
            return self.replace_null(map, &format!("{{{}}}", flow.join(", ")));
        }
        writable(map)?;
        let Content::Map(present) = &map.content else {
            return Err(Fault::new(map, "this must be a mapping"));
        };
        if map.flow {
            return self.put_flow(map, present.first().map(|(key, _)| key), flow.join(", "));
        }
        let Some((key, _)) = present.get(1).or_else(|| present.first()) else {
            return Err(Fault::new(map, "this must be a mapping"));
        };
        let indent = self.indent_at(key, key.range.start)?;
        let put = entries.iter().map(|(key, value)| write::block_entry(key, value, indent));
        let put = put.map(|entry| entry + &" ".repeat(indent)).collect();
        self.put(key.range.start, put);
        Ok(())
    }

    /// Puts items before the others of a list. One call for each list.
    pub(super) fn add_items(&mut self, list: &Node, items: &[Value]) -> Result<(), Fault> {
        let flow: Vec<_> = items.iter().map(Value::to_string).collect();
        if list.is_null() {
            return self.replace_null(list, &format!("[{}]", flow.join(", ")));
        }
        writable(list)?;
        let Content::List(present) = &list.content else {
            return Err(Fault::new(list, "this must be a list"));
        };
        if list.flow {
            return self.put_flow(list, present.first(), flow.join(", "));
        }
        let Some(first) = present.first() else {
            return Err(Fault::new(list, "this must be a list"));
        };
        let dash = self.dash_of(first)?;
        let indent = self.indent_at(first, dash)?;
        let put = items.iter().map(|item| write::block_item(item, indent) + &" ".repeat(indent));
        self.put(dash, put.collect());
        Ok(())
    }

    /// Cuts entries of a mapping or items of a list, by their positions in order; at least one must stay, unless the
    /// collection is in flow style.
    pub(super) fn cut(&mut self, node: &Node, positions: &[usize]) -> Result<(), Fault> {
        if positions.is_empty() {
            return Ok(());
        }
        writable(node)?;
        let parts = self.parts(node)?;
        let mut positions = positions.iter().copied().peekable();
        while let Some(first) = positions.next() {
            let mut last = first;
            while positions.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            let before = first.checked_sub(1).and_then(|before| parts.get(before));
            let (Some(from), Some(to)) = (parts.get(first), parts.get(last)) else { continue };
            let range = match (parts.get(last + 1), before) {
                (Some(next), _) => from.start..next.start,
                (None, Some(before)) if node.flow => before.end..to.end,
                (None, Some(_)) => self.line_start(from.start)..self.line_end(to.end),
                (None, None) => from.start..to.end,
            };
            self.edits.push((range, String::new()));
        }
        Ok(())
    }

    /// From where to where each entry or item goes; in block style an item begins with its dash.
    fn parts(&self, node: &Node) -> Result<Vec<Range<usize>>, Fault> {
        match &node.content {
            Content::Map(entries) => {
                Ok(entries.iter().map(|(key, value)| key.range.start..value.end()).collect())
            }
            Content::List(items) if node.flow => {
                Ok(items.iter().map(|item| item.range.start..item.end()).collect())
            }
            Content::List(items) => items.iter().map(|item| Ok(self.dash_of(item)?..item.end())).collect(),
            _ => Err(Fault::new(node, "this must be a mapping or a list")),
        }
    }

    fn put(&mut self, at: usize, text: String) {
        self.edits.push((at..at, text));
    }

    /// Before the first of a collection in flow style.
    fn put_flow(&mut self, collection: &Node, first: Option<&Node>, text: String) -> Result<(), Fault> {
        let inside = collection.range.start + 1;
        let Some(first) = first else {
            self.put(inside, text);
            return Ok(());
        };
        let before = self.text.get(inside..first.range.start).unwrap_or_default();
        if !before.trim().is_empty() {
            return Err(Fault::new(first, "cannot put anything before this: take out what is before it"));
        }
        self.put(first.range.start, text + ", ");
        Ok(())
    }

    /// In flow style, on the line of its key. What is not written at all has its place before the colon.
    fn replace_null(&mut self, null: &Node, value: &str) -> Result<(), Fault> {
        if null.shared {
            return writable(null);
        }
        if !null.range.is_empty() {
            self.edits.push((null.range.clone(), value.to_owned()));
            return Ok(());
        }
        let rest = self.text.get(null.range.end..).unwrap_or_default();
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        if !rest.trim_start_matches(' ').starts_with(':') {
            return Err(Fault::new(
                null,
                "cannot put anything into this: leave the key out, or write [] or {}",
            ));
        }
        self.put(null.range.end + spaces + 1, format!(" {value}"));
        Ok(())
    }

    /// The column of a key or a dash, when nothing but indentation and dashes is before it on its line.
    fn indent_at(&self, node: &Node, at: usize) -> Result<usize, Fault> {
        let before = self.text.get(self.line_start(at)..at).unwrap_or_default();
        if before.chars().all(|character| matches!(character, ' ' | '-')) {
            return Ok(before.len());
        }
        Err(Fault::new(node, "cannot put anything before this: write it at the beginning of its line"))
    }

    fn dash_of(&self, item: &Node) -> Result<usize, Fault> {
        let before = self.text.get(..item.range.start).unwrap_or_default().trim_end();
        match before.strip_suffix('-') {
            Some(before) => Ok(before.len()),
            None => Err(Fault::new(item, "cannot see the `-` of this item: write it just before the item")),
        }
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Behind the line break that follows; a block scalar ends behind its own.
    fn line_end(&self, at: usize) -> usize {
        if self.text.get(..at).is_some_and(|before| before.ends_with('\n')) {
            return at;
        }
        let rest = self.text.get(at..).unwrap_or_default();
        rest.find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }
}

/// An edit inside something that stands in several places would change all of them.
fn writable(node: &Node) -> Result<(), Fault> {
    if node.shared {
        return Err(Fault::new(node, "this is shared through an anchor or an alias: write it out"));
    }
    match node.entries().iter().find(|(key, _)| key.text() == Some("<<")) {
        Some((key, _)) => Err(Fault::new(key, "this mapping is merged from another one: write it out")),
        None => Ok(()),
    }
}
