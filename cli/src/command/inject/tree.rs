//! YAML as a tree that remembers where each node stands in its text.
//!
//! Makes no values: a scalar is its text, quoted or not, so that nothing is lost by what `on` or `1.10` may mean. JSON is
//! YAML in flow style. Invariant: every range is one of the text that the tree was read from.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle};

/// Line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    fn of(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What is wrong with a manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) sentence: String,
}

impl Fault {
    pub(super) fn new(node: &Node, sentence: impl Into<String>) -> Self {
        Self { place: node.place, sentence: sentence.into() }
    }
}

/// A node and its place.
#[derive(Debug)]
pub(super) struct Node {
    /// From its first byte; the end of a block collection is not known exactly, see [`Node::end`].
    pub(super) range: Range<usize>,
    pub(super) place: Place,
    /// Whether it stands, or may stand, in several places at once: an anchor or an alias.
    pub(super) shared: bool,
    /// Whether it is a collection between brackets or braces.
    pub(super) flow: bool,
    pub(super) content: Content,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Content {
    Scalar { text: String, plain: bool },
    Map(Vec<(Node, Node)>),
    List(Vec<Node>),
    Alias,
}

impl Node {
    /// The value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// Where a key stands in its mapping.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        self.entries().iter().position(|(name, _)| name.text() == Some(key))
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Keys and values of a mapping; none when it is something else.
    pub(super) fn entries(&self) -> &[(Self, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Items of a list; none when it is something else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Whether it holds nothing, which to Kubernetes is the same as not being there.
    fn is_empty(&self) -> bool {
        match &self.content {
            Content::Map(entries) => entries.iter().all(|(_, value)| value.is_empty()),
            Content::List(items) => items.is_empty(),
            _ => self.is_null(),
        }
    }

    /// Whether some of it stands in another place: an alias, or a mapping that one is merged into.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.content, Content::Alias)
            || self.entries().iter().any(|(key, _)| key.text() == Some("<<"))
    }

    /// Whether both say the same, keys in the same order; what is empty may be left out.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            _ if self.is_empty() || other.is_empty() => self.is_empty() == other.is_empty(),
            (Content::Map(entries), Content::Map(others)) => {
                let said = |entry: &&(Self, Self)| !entry.1.is_empty();
                let mut others = others.iter().filter(said);
                let mut each = entries.iter().filter(said);
                each.all(|(key, value)| {
                    others.next().is_some_and(|(other_key, other_value)| {
                        key.text().is_some()
                            && key.text() == other_key.text()
                            && value.says_the_same(other_value)
                    })
                }) && others.next().is_none()
            }
            (Content::List(items), Content::List(others)) => {
                items.len() == others.len() && items.iter().zip(others).all(|(a, b)| a.says_the_same(b))
            }
            (Content::Scalar { text, plain }, Content::Scalar { text: other_text, plain: other_plain }) => {
                text == other_text && plain == other_plain
            }
            (Content::Alias, Content::Alias) => true,
            _ => false,
        }
    }

    /// Behind its last byte.
    pub(super) fn end(&self) -> usize {
        match &self.content {
            Content::Map(entries) if !self.flow => {
                entries.last().map_or(self.range.end, |(_, value)| value.end())
            }
            Content::List(items) if !self.flow => items.last().map_or(self.range.end, Self::end),
            _ => self.range.end,
        }
    }
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    key: Option<Node>,
    keys: BTreeSet<String>,
}

impl Open {
    fn take(&mut self, child: Node) -> Result<(), Fault> {
        match (&mut self.node.content, self.key.take()) {
            (Content::Map(entries), Some(key)) => entries.push((key, child)),
            (Content::Map(_), None) => {
                if child.text().is_some_and(|text| !self.keys.insert(text.to_owned())) {
                    let key = child.text().unwrap_or_default();
                    return Err(Fault::new(&child, format!("the key `{key}` stands twice in its mapping")));
                }
                self.key = Some(child);
            }
            (Content::List(items), _) => items.push(child),
            _ => {}
        }
        Ok(())
    }
}

/// The documents of a text, empty ones too.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    let mut roots = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Fault { place: Place::of(error.marker()), sentence: error.info() })?;
        let node = match event {
            Event::Scalar(value, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                node_of(&span, anchor != 0, false, Content::Scalar { text: value.into_owned(), plain })
            }
            Event::Alias(_) => node_of(&span, true, false, Content::Alias),
            Event::MappingStart(style, anchor, _) => {
                let content = Content::Map(Vec::new());
                open.push(opened(node_of(&span, anchor != 0, style == StructureStyle::Flow, content)));
                continue;
            }
            Event::SequenceStart(style, anchor, _) => {
                let content = Content::List(Vec::new());
                open.push(opened(node_of(&span, anchor != 0, style == StructureStyle::Flow, content)));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(mut closed) = open.pop() else { continue };
                closed.node.range.end = range_of(&span).end;
                closed.node
            }
            _ => continue,
        };
        match open.last_mut() {
            Some(parent) => parent.take(node)?,
            None => roots.push(node),
        }
    }
    Ok(roots)
}

fn opened(node: Node) -> Open {
    Open { node, key: None, keys: BTreeSet::new() }
}

fn node_of(span: &Span, shared: bool, flow: bool, content: Content) -> Node {
    Node { range: range_of(span), place: Place::of(&span.start), shared, flow, content }
}

/// Offsets are always there when the parser reads a `str`.
fn range_of(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or_default()
}
