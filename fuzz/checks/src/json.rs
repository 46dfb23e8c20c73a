//! The strict JSON reader: spans, positions, and the same tree as serde_json where it reads at all.

use portcullis_engine::diagnostic::{Code, Severity, SourceText, Span};
use portcullis_engine::json::{Node, Value, decode_text, parse};

use crate::place;

/// Up to here every place is counted a second time.
const COUNTED_BYTES_MAX: usize = 8 << 10;

pub(crate) const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud834\\udd1e",
    "\\udd1e",
    "\\ud834",
    "\\n",
    "null",
    "true",
    "false",
    "-0",
    "0.0",
    "1e9",
    "1E+400",
    "-",
    "9007199254740993",
    "\u{feff}",
    "\u{e9}",
    "\u{1f980}",
    "\r\n",
    "//",
    "NaN",
    "\"Statement\"",
    "\"Effect\"",
    "{\"a\":1,\"a\":2}",
];

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let members: String = (0..100_000).map(|number| format!("\"k{}\":{number},", number % 50_000)).collect();
    vec![
        b"[".repeat(1 << 20),
        b"{\"a\":".repeat(1 << 18),
        format!("{{{members}\"z\":0}}").into_bytes(),
        format!("[\"{}\", x]", "\u{e9}".repeat(1 << 20)).into_bytes(),
        format!("\"{}\"", "\\u00e9".repeat(1 << 18)).into_bytes(),
        format!("[{}1]", "1,".repeat(1 << 19)).into_bytes(),
        "9".repeat(1 << 20).into_bytes(),
        b"\n".repeat(1 << 20).into_iter().chain(*b"?").collect(),
        vec![0; 1 << 20],
        b"\xff\xfe".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\0}\0".to_vec(),
    ]
}

pub(crate) fn check(bytes: &[u8]) {
    let _ = read(bytes, |text, node| {
        whole(text.text(), node);
        if text.text().len() <= COUNTED_BYTES_MAX {
            positions(text, node);
        }
    });
}

/// Reads the bytes and hands the tree over; the code that refused them otherwise.
fn read(bytes: &[u8], with: impl FnOnce(&SourceText, &Node<'_>)) -> Result<(), Option<Code>> {
    let lossy = String::from_utf8_lossy(bytes);
    let text = match decode_text("policy.json", bytes.to_vec()) {
        Ok(text) => text,
        Err(finding) => {
            if finding.code != Code::NotUtf8 {
                place::check(&lossy, &finding);
            }
            return Err(None);
        }
    };
    assert_eq!(text.text().as_bytes(), bytes, "reading changes nothing");
    let mut findings = Vec::new();
    let tree = parse(&text, &mut findings);
    if bytes.len() <= COUNTED_BYTES_MAX {
        findings.iter().for_each(|finding| place::check(text.text(), finding));
    }
    match tree {
        Some(node) => {
            with(&text, &node);
            let error = findings.iter().find(|finding| finding.severity == Severity::Error);
            error.map_or(Ok(()), |error| Err(Some(error.code)))
        }
        None => {
            let last = findings.last().map(|finding| finding.code);
            assert!(last.is_some(), "refused without a word");
            Err(last)
        }
    }
}

fn slice(text: &str, span: Span) -> &str {
    text.get(span.start as usize..span.end as usize)
        .unwrap_or_else(|| panic!("{span:?} is not inside the text"))
}

fn whole(text: &str, root: &Node<'_>) {
    let space = |text: &str| text.bytes().all(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
    assert!(space(&text[..root.span.start as usize]) && space(&text[root.span.end as usize..]));
    inside(text, root);
}

/// The span of every value is exactly its text, and those of its parts lie inside, in order.
fn inside(text: &str, node: &Node<'_>) {
    let own = slice(text, node.span);
    let mut end = node.span.start + 1;
    let mut next = |span: Span| {
        assert!(span.start >= end && span.end < node.span.end, "{span:?} outside of {:?}", node.span);
        end = span.end;
    };
    match &node.value {
        Value::Null => assert_eq!(own, "null"),
        Value::Bool(value) => assert_eq!(own, if *value { "true" } else { "false" }),
        Value::Number(number) => assert_eq!(own, *number),
        Value::String(value) => string(own, value),
        Value::Array(elements) => {
            assert!(own.starts_with('[') && own.ends_with(']'));
            for element in elements {
                next(element.span);
                inside(text, element);
            }
        }
        Value::Object(members) => {
            assert!(own.starts_with('{') && own.ends_with('}'));
            for member in members {
                next(member.name.span);
                string(slice(text, member.name.span), &member.name.value);
                next(member.node.span);
                inside(text, &member.node);
            }
        }
    }
}

fn string(raw: &str, value: &str) {
    let read: String = serde_json::from_str(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
    assert_eq!(read, value);
}

fn positions(text: &SourceText, node: &Node<'_>) {
    place::check_position(text, node.span.start);
    place::check_position(text, node.span.end);
    match &node.value {
        Value::Array(elements) => elements.iter().for_each(|element| positions(text, element)),
        Value::Object(members) => members.iter().for_each(|member| positions(text, &member.node)),
        _ => {}
    }
}

/// Whatever is accepted here, serde_json accepts with the same tree; whatever it accepts and we refuse has a reason.
pub(crate) fn check_against_serde(bytes: &[u8]) {
    let theirs = serde_json::from_slice::<serde_json::Value>(bytes);
    let mut agree = None;
    let ours = read(bytes, |_, node| {
        // Grammar alone: serde_json has no room for the number 1e999, which is good JSON.
        let grammar = serde_json::from_slice::<serde::de::IgnoredAny>(bytes);
        assert!(grammar.is_ok(), "serde_json refuses what is accepted: {grammar:?}");
        match &theirs {
            Ok(theirs) => agree = Some(same(node, theirs)),
            Err(error) => assert!(error.to_string().starts_with("number out of range"), "{error}"),
        }
    });
    match ours {
        Ok(()) => assert_ne!(agree, Some(false), "the trees differ"),
        Err(Some(Code::DuplicateMember | Code::JsonDepth) | None) => {}
        Err(Some(code)) => assert!(theirs.is_err(), "serde_json accepts what is refused as {code}"),
    }
}

/// Only for trees without repeated members.
fn same(ours: &Node<'_>, theirs: &serde_json::Value) -> bool {
    use serde_json::Value as Theirs;
    match (&ours.value, theirs) {
        (Value::Null, Theirs::Null) => true,
        (Value::Bool(ours), Theirs::Bool(theirs)) => ours == theirs,
        (Value::Number(ours), Theirs::Number(theirs)) => {
            // Numbers that fit are exact on both sides; the others are compared as serde_json keeps them.
            theirs.as_i64().is_some_and(|value| ours.parse() == Ok(value))
                || theirs.as_u64().is_some_and(|value| ours.parse() == Ok(value))
                || theirs.as_f64().zip(ours.parse::<f64>().ok()).is_some_and(|(a, b)| close(a, b))
        }
        (Value::String(ours), Theirs::String(theirs)) => ours == theirs,
        (Value::Array(ours), Theirs::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b))
        }
        (Value::Object(ours), Theirs::Object(theirs)) => {
            let names: std::collections::BTreeSet<_> =
                ours.iter().map(|member| &*member.name.value).collect();
            names.len() == theirs.len()
                && (ours.len() > names.len()
                    || ours.iter().all(|m| theirs.get(&*m.name.value).is_some_and(|t| same(&m.node, t))))
        }
        _ => false,
    }
}

/// serde_json's own reading of a float may be off by a last place.
fn close(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() <= one.abs().max(other.abs()) * 1e-15 + f64::MIN_POSITIVE
}
