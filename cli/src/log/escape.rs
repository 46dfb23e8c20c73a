//! Writes events with everything escaped that a terminal or a line-reading program could take for something else.
//!
//! The formatter escapes what belongs to terminal sequences and JSON what belongs to JSON; this is for the rest: line ends
//! within an event, other control characters, separators and text-direction marks.

use std::io::{self, Write};

use super::Format;

/// A writer that gets whole events, each ending its line.
pub(super) struct Escaped<W> {
    inner: W,
    format: Format,
}

impl<W> Escaped<W> {
    pub(super) fn new(inner: W, format: Format) -> Self {
        Self { inner, format }
    }
}

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.contains(|c| is_harmful(c, self.format)) {
            let mut escaped = escape(line, self.format);
            escaped.push('\n');
            self.inner.write_all(escaped.as_bytes())?;
        } else {
            self.inner.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn is_harmful(c: char, format: Format) -> bool {
    match c {
        // The formatter's own colors; in what it quotes, the formatter has escaped it.
        '\u{1b}' => format == Format::Json,
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

fn escape(line: &str, format: Format) -> String {
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        match (is_harmful(c, format), format) {
            (false, _) => escaped.push(c),
            (true, Format::Human) => escaped.extend(c.escape_default()),
            // All of them are in the basic plane, so one escape of four digits names each.
            (true, Format::Json) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\nb\rc\td\u{7f}e\u{85}f\u{2028}g\u{202e}h\u{200f}i\u{feff}j\u{0}k\u{9b}31ml";

    fn written(format: Format, line: &str) -> String {
        let mut out = Vec::new();
        Escaped::new(&mut out, format).write_all(format!("{line}\n").as_bytes()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_one_line_without_a_control_character() {
        for format in [Format::Human, Format::Json] {
            let text = written(format, HOSTILE);
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(|c| is_harmful(c, format)), "{line:?}");
            assert!(line.starts_with('a') && line.ends_with('l'));
        }
        assert_eq!(written(Format::Human, "\u{1b}[32mINFO\u{1b}[0m fine"), "\u{1b}[32mINFO\u{1b}[0m fine\n");
    }

    #[test]
    fn a_json_line_reads_back() {
        let object = serde_json::json!({ "message": HOSTILE }).to_string();
        let text = written(Format::Json, &object);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["message"], HOSTILE);
    }
}
