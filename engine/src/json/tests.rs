//! Tests of the JSON parser.

use super::*;

fn text(source: &str) -> SourceText {
    SourceText::new("a.json".to_owned(), source.to_owned())
}

fn findings(source: &str) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let _ = parse(&text(source), &mut findings);
    findings
}

fn codes(source: &str) -> Vec<Code> {
    findings(source).iter().map(|finding| finding.code).collect()
}

#[test]
fn spans_are_exact() {
    let source = text("{\"a\": [1, \"\u{e9}x\"]}");
    let node = parse(&source, &mut Vec::new()).expect("parses");
    let Value::Object(members) = node.value else { panic!("an object") };
    let Value::Array(elements) = &members[0].node.value else { panic!("a list") };
    let at = |span: Span| source.text().get(span.start as usize..span.end as usize).expect("inside the text");
    assert_eq!(at(members[0].name.span), "\"a\"");
    assert_eq!(at(elements[0].span), "1");
    assert_eq!(at(elements[1].span), "\"\u{e9}x\"");
}

#[test]
fn repeated_members_are_found_at_every_depth() {
    assert_eq!(codes(r#"{"a":1,"a":2}"#), [Code::DuplicateMember]);
    assert_eq!(codes(r#"{"x":[{"a":{"b":1,"\u0062":2}}],"x":0}"#), [Code::DuplicateMember; 2]);
    let wide: String = (0..40).map(|index| format!("\"k{index}\":0,")).collect();
    assert_eq!(codes(&format!("{{{wide}\"k3\":1}}")), [Code::DuplicateMember]);
    assert_eq!(codes(&format!("{{{wide}\"k33\":1}}")), [Code::DuplicateMember]);
    assert_eq!(codes(&format!("{{\"k3\":1,{wide}\"l\":1}}")), [Code::DuplicateMember]);
    let found = findings("{\"a\":1,\n \"a\":2}");
    assert_eq!((found[0].position.line, found[0].position.column), (2, 2));
    assert_eq!(found[0].related[0].position.column, 2);
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(codes(&nested(crate::limit::JSON_DEPTH_MAX)), []);
    assert_eq!(codes(&nested(crate::limit::JSON_DEPTH_MAX + 1)), [Code::JsonDepth]);
    assert_eq!(codes(&"[".repeat(100_000)), [Code::JsonDepth]);
    assert_eq!(codes(&"{\"a\":".repeat(100_000)), [Code::JsonDepth]);
}

#[test]
fn what_is_not_json_is_refused() {
    for source in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "NaN",
        "Infinity",
        "+1",
        "01",
        "1.",
        "1e",
        "-",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"",
        "\"\u{1}\"",
        "\"open",
        "True",
        "nul",
        "// c\n1",
        "[1 2]",
        "{\"a\" 1}",
        "\u{feff}1",
        "\"\\u12g4\"",
        "\u{a0}1",
    ] {
        assert_eq!(codes(source), [Code::JsonSyntax], "{source:?}");
    }
    for source in ["{} {}", "1 // c", "{}]", "1\u{0}"] {
        assert_eq!(codes(source), [Code::TrailingBytes], "{source:?}");
    }
}

#[test]
fn escapes_are_resolved() {
    let source = text(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#);
    let node = parse(&source, &mut Vec::new()).expect("parses");
    assert_eq!(node.value, Value::String("\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}".into()));
}

#[test]
fn bytes_that_are_no_text_are_named() {
    let code =
        |bytes: &[u8]| decode_text("a.json", bytes.to_vec()).map(|_| ()).map_err(|finding| finding.code);
    assert_eq!(code(b"{}"), Ok(()));
    assert_eq!(code(b""), Err(Code::EmptyFile));
    assert_eq!(code(b" \n"), Err(Code::EmptyFile));
    assert_eq!(code(b"\xef\xbb\xbf{}"), Err(Code::ByteOrderMark));
    assert_eq!(code(b"\xff\xfe{\0}\0"), Err(Code::Utf16));
    assert_eq!(code(b"\xfe\xff\0{\0}"), Err(Code::Utf16));
    assert_eq!(code(b"\0{\0}"), Err(Code::Utf16));
    assert_eq!(code(b"{\0}\0"), Err(Code::Utf16));
    let finding = decode_text("a.json", b"{\n\"\xc3\xa9\xff\"}".to_vec()).expect_err("not UTF-8");
    assert_eq!((finding.code, finding.position.line, finding.position.column), (Code::NotUtf8, 2, 3));
    assert!(finding.message.contains("0xff at offset 5"), "{}", finding.message);
}

#[test]
fn code_names_are_unique() {
    let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
}

mod reference {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever serde_json takes without repeated members and depth, this takes, and nothing else.
        #[test]
        fn agrees_with_another_parser(source in r#"[\[\]{}:,"\\ a1eE.+\-ntu0]{0,12}"#) {
            let other = serde_json::from_str::<serde_json::Value>(&source);
            let mut found = findings(&source);
            found.retain(|finding| finding.code != Code::DuplicateMember);
            // The other parser refuses numbers that no f64 holds.
            let number = matches!(&other, Err(error) if error.to_string().contains("out of range"));
            prop_assert!(number || other.is_ok() == found.is_empty(), "{source:?}: {other:?} {found:?}");
        }

        #[test]
        fn never_panics_on_any_text(source in ".{0,40}") {
            let _ = findings(&source);
        }
    }
}
