//! JSON strings that nothing can misread: a record stays one line on a terminal, in a log shipper and in a browser.
//!
//! Beyond what JSON asks for, every control character (C0, DEL, C1), the line separators, the marks that change the
//! direction of text, invisible characters and the byte order mark are written as `\uXXXX`. The value is unchanged: a
//! JSON reader gives back the same text.
//!
//! Invariant (ONE-LINE): what this writes holds no byte below 0x20 and no raw quote.

/// Appends `text` in quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// Appends `text` without quotes. What is not UTF-8 is replaced, which only a caller inside this process could send.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escape_some(out, &String::from_utf8_lossy(text));
    }
}

#[cold]
fn escape_some(out: &mut Vec<u8>, text: &str) {
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

/// No byte needs a second look: printable ASCII without quote and backslash. Eight at a time and without an early end,
/// because nearly all texts are.
fn is_plain(bytes: &[u8]) -> bool {
    let flags = if let Some(last) = bytes.last_chunk::<8>() {
        let (words, _) = bytes.as_chunks::<8>();
        // The last eight overlap those before.
        words.iter().fold(flagged(u64::from_ne_bytes(*last)), |flags, word| {
            flags | flagged(u64::from_ne_bytes(*word))
        })
    } else {
        flagged(bytes.iter().fold(u64::from_ne_bytes([b' '; 8]), |word, byte| (word << 8) | u64::from(*byte)))
    };
    flags & u64::from_ne_bytes([0x80; 8]) == 0
}

/// Sets the high bit of some byte exactly when some byte is not plain. For ASCII a difference goes below zero, and so
/// sets the high bit, only where a byte is less than what is taken from it; what is not ASCII has the bit already. A
/// borrow that spoils the byte above comes from a byte that is not plain.
fn flagged(word: u64) -> u64 {
    let is = |byte: u8| (word ^ u64::from_ne_bytes([byte; 8])).wrapping_sub(u64::from_ne_bytes([1; 8]));
    word | word.wrapping_sub(u64::from_ne_bytes([0x20; 8])) | is(b'"') | is(b'\\') | is(0x7f)
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
fn digit(value: u8) -> u8 {
    match value & 0xf {
        low @ 0..=9 => b'0' + low,
        high => b'a' + (high - 10),
    }
}

/// Sixteen lower-case hexadecimal digits, all at once.
pub(super) fn hex_digits(value: u64) -> [u8; 16] {
    const LOW: u128 = 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
    const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
    // One nibble to each byte.
    let mut wide = u128::from(value);
    wide = (wide | (wide << 32)) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    wide = (wide | (wide << 16)) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    wide = (wide | (wide << 8)) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    wide = (wide | (wide << 4)) & LOW;
    // 0x27 lies between `9` and `a`; six more than nine carries into the high nibble.
    let letters = ((wide + 6 * ONES) >> 4) & ONES;
    (wide + u128::from(b'0') * ONES + letters * 0x27).to_be_bytes()
}

/// Appends bytes as lower-case hexadecimal digits; those beyond a multiple of eight are left out.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| out.extend_from_slice(&hex_digits(u64::from_be_bytes(*word))));
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
        string(&mut out, text.as_bytes());
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
        hex(&mut out, &[0x00, 0x9f, 0xff, 0x01, 0x23, 0x45, 0x67, 0x89]);
        number(&mut out, u64::MAX);
        number(&mut out, -1_i64);
        assert_eq!(out, b"009fff012345678918446744073709551615-1");
    }

    #[test]
    fn every_byte_is_looked_at_wherever_it_stands() {
        for length in 0..50 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    let plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
                    assert_eq!(is_plain(&bytes), plain, "{byte} at {at} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn hex_digits_are_those_of_format(value in any::<u64>()) {
            prop_assert_eq!(hex_digits(value).to_vec(), format!("{value:016x}").into_bytes());
        }

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
