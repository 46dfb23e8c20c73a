//! Typed access to the members of one entry; whatever is not as expected becomes a finding.

use crate::diagnostic::{Code, Span};
use crate::json::report::Report;
use crate::json::{Member, Node, Value};
use crate::policy::Spanned;

/// A string and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'n> {
    pub(super) value: &'n str,
    pub(super) span: Span,
}

impl Text<'_> {
    /// A copy that outlives the source text.
    pub(super) fn to_spanned(self) -> Spanned<String> {
        Spanned { value: self.value.to_owned(), span: self.span }
    }
}

/// The members of one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'n, 't> {
    members: &'n [Member<'t>],
    pub(super) span: Span,
    /// The entry in words, with its article.
    pub(super) what: &'static str,
}

impl<'n, 't> Fields<'n, 't> {
    /// The object's members; each that is neither known nor ignored is reported.
    pub(super) fn of(
        node: &'n Node<'t>,
        what: &'static str,
        known: &[&str],
        ignored: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let Value::Object(members) = &node.value else {
            let code = if node.value == Value::Null { Code::NullValue } else { Code::WrongType };
            report.error(code, node.span, format!("{what} must be an object, not {}", node.value.kind()));
            return None;
        };
        for Member { name, .. } in members {
            if !known.contains(&&*name.value) && !ignored.contains(&&*name.value) {
                report.unknown(Code::UnknownMember, name.span, &name.value, what, known);
            }
        }
        Some(Self { members, span: node.span, what })
    }

    /// The first member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node<'t>> {
        self.members.iter().find(|member| member.name.value == name).map(|member| &member.node)
    }

    /// A string, when the member is there.
    pub(super) fn text(&self, name: &str, report: &mut Report<'_>) -> Option<Text<'n>> {
        let node = self.get(name)?;
        let Value::String(text) = &node.value else {
            report.wrong_type(node, name, "a string");
            return None;
        };
        Some(Text { value: text, span: node.span })
    }

    /// A string that must be there.
    pub(super) fn required_text(&self, name: &str, report: &mut Report<'_>) -> Option<Text<'n>> {
        if self.get(name).is_none() {
            self.missing(name, report);
        }
        self.text(name, report)
    }

    /// A boolean, `false` when the member is absent.
    pub(super) fn flag(&self, name: &str, report: &mut Report<'_>) -> bool {
        match self.get(name).map(|node| (node, &node.value)) {
            None => false,
            Some((_, Value::Bool(flag))) => *flag,
            Some((node, _)) => {
                report.wrong_type(node, name, "a boolean");
                false
            }
        }
    }

    /// The elements of a list, none when the member is absent.
    pub(super) fn list(&self, name: &str, report: &mut Report<'_>) -> &'n [Node<'t>] {
        match self.get(name).map(|node| (node, &node.value)) {
            None => &[],
            Some((_, Value::Array(elements))) => elements,
            Some((node, _)) => {
                report.wrong_type(node, name, "a list");
                &[]
            }
        }
    }

    /// The strings of a list; `None` when the member is absent.
    pub(super) fn texts(&self, name: &str, report: &mut Report<'_>) -> Option<Vec<Spanned<String>>> {
        self.get(name)?;
        let mut texts = Vec::new();
        for node in self.list(name, report) {
            match &node.value {
                Value::String(text) => {
                    texts.push(Spanned { value: text.clone().into_owned(), span: node.span })
                }
                _ => report.wrong_type(node, name, "a list of strings"),
            }
        }
        Some(texts)
    }

    /// Reports that the entry lacks `name`.
    pub(super) fn missing(&self, name: &str, report: &mut Report<'_>) {
        report.error(Code::MissingMember, self.span, format!("{} needs `{name}`", self.what));
    }
}
