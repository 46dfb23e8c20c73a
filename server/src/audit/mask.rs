//! What of a request's context is written, and what is hidden.
//!
//! A key is hidden when its name reads like that of a secret, or a value when its form does; then CloudTrail's own
//! words stand in its place. Verdicts are remembered by key, because callers use few.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::capture::Cut;

/// What stands for a hidden value.
pub(super) const HIDDEN: &[u8] = b"HIDDEN_DUE_TO_SECURITY_REASONS";
/// Keys whose verdict is remembered.
const REMEMBERED_MAX: usize = 1_024;
/// A key that contains one of these, in any case and with `-`, `_` and `.` left out, names a secret.
const SECRET_NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "privatekey",
    "accesskeyvalue",
    "authorization",
    "cookie",
    "bearer",
    "jwt",
    "onetimecode",
    "otpcode",
    "pincode",
];
/// A value that begins like this is a secret wherever it stands.
const SECRET_BEGINNINGS: [&[u8]; 4] = [b"-----BEGIN", b"Bearer ", b"Basic ", b"eyJ"];

/// What happens to a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Show,
    Hide,
    LeaveOut,
}

/// The configured choice.
#[derive(Debug)]
pub(super) struct Mask {
    /// Patterns in lower case of the keys that are written.
    shown: Vec<String>,
    /// Patterns in lower case of further keys that are hidden.
    hidden: Vec<String>,
    verdicts: HashMap<Box<[u8]>, Verdict, RandomState>,
}

impl Mask {
    /// From comma-separated patterns, `*` for any run of characters.
    pub(super) fn new(shown: &str, hidden: &str) -> Self {
        Self { shown: patterns(shown), hidden: patterns(hidden), verdicts: HashMap::default() }
    }

    pub(super) fn verdict(&mut self, key: Cut<'_>) -> Verdict {
        if let Some(verdict) = self.verdicts.get(key.text) {
            return *verdict;
        }
        let verdict = self.judge(&key.as_str().to_lowercase());
        if self.verdicts.len() >= REMEMBERED_MAX {
            self.verdicts.clear();
        }
        self.verdicts.insert(key.text.into(), verdict);
        verdict
    }

    fn judge(&self, key: &str) -> Verdict {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, key));
        if !any(&self.shown) {
            return Verdict::LeaveOut;
        }
        let bare: String = key.chars().filter(|c| !matches!(c, '-' | '_' | '.' | ' ')).collect();
        if any(&self.hidden) || SECRET_NAMES.iter().any(|name| bare.contains(name)) {
            return Verdict::Hide;
        }
        Verdict::Show
    }
}

/// Whether the form of a value says that it is a secret.
pub(super) fn is_secret_value(value: &[u8]) -> bool {
    SECRET_BEGINNINGS.iter().any(|beginning| value.starts_with(beginning))
}

pub(super) fn patterns(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_lowercase()).filter(|part| !part.is_empty()).collect()
}

/// The same for a pattern in lower case and a text in any.
pub(super) fn matches_in_any_case(pattern: &str, text: &str) -> bool {
    matches(pattern, &text.to_lowercase())
}

/// `*` matches any run of characters; everything else itself.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(mask: &mut Mask, key: &str) -> Verdict {
        mask.verdict(Cut { text: key.as_bytes(), missing: 0 })
    }

    #[test]
    fn stars_match_any_run() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("aws:*", "aws:sourceip", true),
            ("aws:*", "app:x", false),
            ("*ip", "aws:sourceip", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn actions_are_matched_in_any_case() {
        assert!(matches_in_any_case("orders:get*", "Orders:GetOrder"));
        assert!(!matches_in_any_case("orders:get*", "orders:PutOrder"));
    }

    #[test]
    fn names_that_read_like_secrets_are_hidden() {
        let mut mask = Mask::new("*", "app:pin, corp:*");
        for key in
            ["app:Password", "db.pass-phrase", "x-api-key", "API_KEY", "app:clientSecret", "set-cookie"]
        {
            assert_eq!(verdict(&mut mask, key), Verdict::Hide, "{key}");
        }
        assert_eq!(verdict(&mut mask, "APP:PIN"), Verdict::Hide);
        assert_eq!(verdict(&mut mask, "corp:anything"), Verdict::Hide);
        for key in ["aws:SourceIp", "aws:MultiFactorAuthPresent", "s3:prefix", "app:pinned", "kms:ViaService"]
        {
            assert_eq!(verdict(&mut mask, key), Verdict::Show, "{key}");
        }
    }

    #[test]
    fn keys_that_are_not_chosen_are_left_out() {
        let mut mask = Mask::new("aws:*, s3:prefix", "");
        assert_eq!(verdict(&mut mask, "aws:SourceIp"), Verdict::Show);
        assert_eq!(verdict(&mut mask, "S3:Prefix"), Verdict::Show);
        assert_eq!(verdict(&mut mask, "app:x"), Verdict::LeaveOut);
        assert_eq!(verdict(&mut Mask::new("", ""), "aws:SourceIp"), Verdict::LeaveOut);
    }

    #[test]
    fn forgetting_changes_no_verdict() {
        let mut mask = Mask::new("*", "");
        for number in 0..3 * REMEMBERED_MAX {
            assert_eq!(verdict(&mut mask, &format!("secret{number}")), Verdict::Hide);
            assert_eq!(verdict(&mut mask, &format!("plain{number}")), Verdict::Show);
        }
        assert!(mask.verdicts.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn values_that_look_like_secrets() {
        for value in ["-----BEGIN PRIVATE KEY-----", "Bearer abc", "eyJhbGciOiJIUzI1NiJ9.e30.x"] {
            assert!(is_secret_value(value.as_bytes()), "{value}");
        }
        assert!(!is_secret_value(b"10.0.0.1"));
    }
}
