//! JSON strings that nothing can misread: a record stays one line on a terminal, in a log shipper and in a browser.
//!
//! Beyond what JSON asks for, every control character (C0, DEL, C1), the line separators, the marks that change the
//! direction of text, invisible characters and the byte order mark are written as `\uXXXX`. The value is unchanged: a
//! JSON reader gives back the same text.
//!
//! Invariant (ONE-LINE): what this writes holds no byte below 0x20 and no raw quote.

/// Appends `text` in quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// Appends `text` without quotes.
pub(super) fn escape(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    // Bytes that stand for themselves are copied in runs.
    let mut run = 0;
    for (at, character) in text.char_indices() {
        if !is_special(character) {
            continue;
        }
        out.extend_from_slice(text.as_bytes().get(run..at).unwrap_or_default());
        run = at + character.len_utf8();
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        out.push(digit((*unit >> shift) as u8));
                    }
                }
            }
        }
    }
    out.extend_from_slice(text.as_bytes().get(run..).unwrap_or_default());
}

/// No byte needs a second look. Without an early end, so that the compiler tests many bytes at once.
fn is_plain(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |plain, &byte| plain & (0x20..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\'))
}

fn is_special(character: char) -> bool {
    matches!(
        character,
        '"' | '\\'
            | '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// One hexadecimal digit, of the low four bits.
pub(super) fn digit(value: u8) -> u8 {
    match value & 0xf {
        low @ 0..=9 => b'0' + low,
        high => b'a' + (high - 10),
    }
}

/// Appends bytes as lower-case hexadecimal digits.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
}

/// Appends a decimal number.
pub(super) fn number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_could_be_misread_is_written_as_a_number() {
        for (text, expected) in [
            ("plain", "\"plain\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nb\r\tc", "\"a\\nb\\r\\tc\""),
            ("\0\u{1b}[31m\u{7f}", "\"\\u0000\\u001b[31m\\u007f\""),
            ("\u{85}\u{9f}", "\"\\u0085\\u009f\""),
            ("\u{2028}\u{2029}", "\"\\u2028\\u2029\""),
            ("\u{202e}evil\u{2066}\u{200e}", "\"\\u202eevil\\u2066\\u200e\""),
            ("\u{feff}\u{200b}", "\"\\ufeff\\u200b\""),
            ("\u{e0041}", "\"\\udb40\\udc41\""),
            ("grün 日本 🦀", "\"grün 日本 🦀\""),
            ("", "\"\""),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn numbers_and_digits() {
        let mut out = Vec::new();
        hex(&mut out, &[0x00, 0x9f, 0xff]);
        number(&mut out, u64::MAX);
        number(&mut out, -1_i64);
        assert_eq!(out, b"009fff18446744073709551615-1");
    }

    proptest! {
        #[test]
        fn a_reader_gives_back_the_same_text(text in any::<String>()) {
            let line = escaped(&text);
            let raw = line.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}'));
            prop_assert!(!raw);
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }

        #[test]
        fn hostile_characters_come_back_too(text in "[\\x00-\\x1f\"\\\\\\x7f-\\u{a0}\\u{2000}-\\u{206f}\\u{feff}a]{0,40}") {
            prop_assert_eq!(serde_json::from_str::<String>(&escaped(&text)).unwrap(), text);
        }
    }
}
