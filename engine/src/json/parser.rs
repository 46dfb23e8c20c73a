//! The JSON parser itself: one pass over the bytes, borrowing where a string has no escapes.
//!
//! Stops at the first syntax error, since what follows one is guesswork; collects every repeated member.

use super::{Member, Node, Value};
use crate::diagnostic::{Code, Span};
use crate::limit::JSON_DEPTH_MAX;
use crate::policy::Spanned;
use std::borrow::Cow;

/// Objects with more members than this are checked for repeated names with a hash table.
const LINEAR_MEMBERS_MAX: usize = 16;
/// Repeated members reported for one text.
const REPEATED_MAX: usize = 100;

/// Something wrong with a JSON text.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
    /// The first of two equal members.
    pub(crate) first: Option<Span>,
}

/// Parses a text that need not be a whole file.
pub(crate) fn parse_str(text: &str) -> (Option<Node<'_>>, Vec<Fault>) {
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
        faults: Vec::new(),
        members: Vec::new(),
        elements: Vec::new(),
    };
    let node = parser.whole();
    (node, parser.faults)
}

struct Parser<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    depth: usize,
    faults: Vec<Fault>,
    /// The members of all objects still open, innermost last; a closed object takes its own, in one exact allocation.
    members: Vec<Member<'t>>,
    /// The elements of all lists still open, likewise.
    elements: Vec<Node<'t>>,
}

impl<'t> Parser<'t> {
    fn whole(&mut self) -> Option<Node<'t>> {
        self.skip_space();
        let node = self.value()?;
        self.skip_space();
        if self.at < self.bytes.len() {
            let help = if self.rest().starts_with(b"/") { Some("JSON has no comments") } else { None };
            let span = Span { start: self.at as u32, end: self.bytes.len() as u32 };
            return self.fail(
                Code::TrailingBytes,
                span,
                "unexpected text after the JSON value".to_owned(),
                help,
            );
        }
        Some(node)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.at += 1;
        }
        there
    }

    fn fail<T>(&mut self, code: Code, span: Span, message: String, help: Option<&'static str>) -> Option<T> {
        self.faults.push(Fault { code, span, message, help, first: None });
        None
    }

    /// A syntax error at the current character.
    fn syntax<T>(&mut self, expected: &str) -> Option<T> {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let start = self.at as u32;
        let end = start + found.map_or(0, |char| char.len_utf8() as u32);
        let message = match found {
            Some(char) => format!("expected {expected}, found `{}`", char.escape_debug()),
            None => format!("expected {expected}, found the end of the text"),
        };
        let help = match found {
            Some('/' | '#') => Some("JSON has no comments"),
            Some('\'') => Some("JSON strings have double quotes"),
            Some('\u{feff}') => Some("remove the byte order mark"),
            Some('}' | ']') => Some("JSON has no comma after the last element"),
            Some('N' | 'I' | 'T' | 'F') => {
                Some("JSON knows the words `true`, `false` and `null`, in lower case")
            }
            _ => None,
        };
        self.fail(Code::JsonSyntax, Span { start, end }, message, help)
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.at as u32 }
    }

    fn value(&mut self) -> Option<Node<'t>> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'"') => Value::String(self.string()?),
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            _ => return self.syntax("a JSON value"),
        };
        Some(Node { value, span: self.span_from(start) })
    }

    fn word(&mut self, word: &'static str, value: Value<'t>) -> Option<Value<'t>> {
        if !self.rest().starts_with(word.as_bytes()) {
            return self.syntax("a JSON value");
        }
        self.at += word.len();
        Some(value)
    }

    /// Runs `inner` one level deeper, after its opening bracket.
    fn nested(&mut self, inner: fn(&mut Self) -> Option<Value<'t>>) -> Option<Value<'t>> {
        if self.depth >= JSON_DEPTH_MAX {
            let span = Span { start: self.at as u32, end: self.at as u32 + 1 };
            let message = format!("the text is nested deeper than {JSON_DEPTH_MAX} levels");
            return self.fail(Code::JsonDepth, span, message, None);
        }
        self.at += 1;
        self.depth += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Some(value)
    }

    fn array(&mut self) -> Option<Value<'t>> {
        let base = self.elements.len();
        self.skip_space();
        if self.eat(b']') {
            return Some(Value::Array(Vec::new()));
        }
        loop {
            let element = self.value()?;
            self.elements.push(element);
            self.skip_space();
            if self.eat(b']') {
                return Some(Value::Array(self.elements.drain(base..).collect()));
            }
            if !self.eat(b',') {
                return self.syntax("`,` or `]`");
            }
            self.skip_space();
        }
    }

    fn object(&mut self) -> Option<Value<'t>> {
        let base = self.members.len();
        self.skip_space();
        if self.eat(b'}') {
            return Some(Value::Object(Vec::new()));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.syntax("a member name in double quotes");
            }
            let start = self.at;
            let name = self.string()?;
            let span = self.span_from(start);
            self.skip_space();
            if !self.eat(b':') {
                return self.syntax("`:`");
            }
            self.skip_space();
            let node = self.value()?;
            let siblings = self.members.get(base..).unwrap_or_default();
            if siblings.len() < LINEAR_MEMBERS_MAX
                && let Some(first) = siblings.iter().find(|member| member.name.value == name)
            {
                let first = first.name.span;
                self.repeated(&name, span, first);
            }
            self.members.push(Member { name: Spanned { value: name, span }, node });
            self.skip_space();
            if self.eat(b'}') {
                break;
            }
            if !self.eat(b',') {
                return self.syntax("`,` or `}`");
            }
            self.skip_space();
        }
        let members: Vec<Member<'t>> = self.members.drain(base..).collect();
        if members.len() > LINEAR_MEMBERS_MAX {
            self.find_repeated(&members);
        }
        Some(Value::Object(members))
    }

    /// The members that the linear check did not look at.
    fn find_repeated(&mut self, members: &[Member<'t>]) {
        let mut seen = hashbrown::HashMap::with_capacity_and_hasher(
            members.len(),
            foldhash::fast::RandomState::default(),
        );
        for (index, member) in members.iter().enumerate() {
            let name = &*member.name.value;
            match seen.entry(name) {
                hashbrown::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(member.name.span);
                }
                hashbrown::hash_map::Entry::Occupied(first) => {
                    if index >= LINEAR_MEMBERS_MAX {
                        self.repeated(name, member.name.span, *first.get());
                    }
                }
            }
        }
    }

    fn repeated(&mut self, name: &str, span: Span, first: Span) {
        if self.faults.len() >= REPEATED_MAX {
            return;
        }
        let message = format!("the member {} is there twice", super::report::quoted(name));
        let help = Some("keep one of the two");
        self.faults.push(Fault { code: Code::DuplicateMember, span, message, help, first: Some(first) });
    }

    fn number(&mut self) -> Option<&'t str> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') && self.digits() == 0 {
            return self.syntax("a digit");
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.syntax("a number without leading zeros");
        }
        if self.eat(b'.') && self.digits() == 0 {
            return self.syntax("a digit");
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.syntax("a digit");
            }
        }
        self.text.get(start..self.at)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    /// A string from its opening quote on.
    fn string(&mut self) -> Option<Cow<'t, str>> {
        self.at += 1;
        let start = self.at;
        let length = self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        self.at = length.map_or(self.bytes.len(), |length| start + length);
        if self.peek() == Some(b'"') {
            let text = self.text.get(start..self.at)?;
            self.at += 1;
            return Some(Cow::Borrowed(text));
        }
        self.escaped_string(start)
    }

    /// The rest of a string that is not plain, copied.
    fn escaped_string(&mut self, start: usize) -> Option<Cow<'t, str>> {
        let mut text = self.text.get(start..self.at)?.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(0..0x20) => return self.control_character(),
                None => {
                    let span = Span { start: start as u32 - 1, end: start as u32 };
                    return self.fail(
                        Code::JsonSyntax,
                        span,
                        "this string has no closing quote".to_owned(),
                        None,
                    );
                }
                Some(_) => {
                    let from = self.at;
                    let length = self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
                    self.at = length.map_or(self.bytes.len(), |length| from + length);
                    text.push_str(self.text.get(from..self.at)?);
                }
            }
        }
    }

    fn control_character<T>(&mut self) -> Option<T> {
        let byte = self.peek().unwrap_or_default();
        let span = Span { start: self.at as u32, end: self.at as u32 + 1 };
        let message = match byte {
            b'\n' | b'\r' => "a string may not run over the end of a line".to_owned(),
            _ => format!("the control character U+{byte:04X} must be escaped in a string"),
        };
        self.fail(Code::JsonSyntax, span, message, Some("write it as an escape such as `\\n` or `\\u0000`"))
    }

    fn escape(&mut self) -> Option<char> {
        let start = self.at;
        self.at += 1;
        let char = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => {
                return self.syntax(
                    "one of the escapes `\\\"`, `\\\\`, `\\/`, `\\b`, `\\f`, `\\n`, `\\r`, `\\t`, `\\u`",
                );
            }
        };
        self.at += 1;
        Some(char)
    }

    /// `\uXXXX`, or two of them for a character outside the basic plane.
    fn unicode_escape(&mut self, start: usize) -> Option<char> {
        self.at += 1;
        let first = self.hex4()?;
        let mut code = first;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            } else {
                self.at = back;
            }
        }
        if let Some(char) = char::from_u32(code) {
            return Some(char);
        }
        let span = self.span_from(start);
        self.fail(Code::JsonSyntax, span, format!("the surrogate \\u{first:04x} has no partner"), None)
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return self.syntax("four hexadecimal digits");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Some(code)
    }
}
