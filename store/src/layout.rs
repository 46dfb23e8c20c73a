//! Which paths of a policy directory count, and how much of them is read.
//!
//! A policy directory is any tree of `*.json` files. File and folder names carry no meaning; names beginning with `.`
//! are skipped. Nothing here touches the file system.

use portcullis_engine::limit::SOURCE_BYTES_MAX;

/// The link that marks a ConfigMap-style mount: everything is read from the one directory it names.
pub(crate) const CONFIG_MAP_LINK: &str = "..data";

/// How much of a policy directory is read; more is an error, found before the bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file. More than the engine's own bound (64 MiB) has no effect.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
    /// `*.json` files.
    pub files: usize,
    /// Names of any kind, in all directories together.
    pub entries: usize,
    /// Directories between the root and a file.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: SOURCE_BYTES_MAX as u64,
            total_bytes: 1 << 30,
            files: 10_000,
            entries: 40_000,
            depth: 8,
        }
    }
}

/// Is this name passed over?
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

/// Is a regular file of this name a source?
pub(crate) fn is_source(name: &[u8]) -> bool {
    name.ends_with(b".json")
}

/// The name as text that can stand in a log line, if it is that.
pub(crate) fn printable(name: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(name).ok()?;
    let breaks_a_line = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    (!text.contains(breaks_a_line)).then_some(text)
}

/// Any name as text that can stand in a log line.
pub(crate) fn escaped(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_names_are_sources() {
        assert!(is_source(b"a.json"));
        assert!(!is_source(b"a.json~") && !is_source(b"a.JSON") && !is_source(b"a.yaml"));
        assert!(is_hidden(b".a.json.swp") && is_hidden(b"..data") && !is_hidden(b"a"));
    }

    #[test]
    fn a_name_that_could_forge_a_log_line_is_not_printable() {
        assert_eq!(printable("größe.json".as_bytes()), Some("größe.json"));
        assert_eq!(printable(b"a\nb.json"), None);
        assert_eq!(printable(b"a\xff.json"), None);
        assert_eq!(printable("a\u{202e}b.json".as_bytes()), None);
        assert_eq!(escaped(b"a\nb\xff.json"), "a\\nb\\xff.json");
    }
}
