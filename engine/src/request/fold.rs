//! ASCII lower case without an allocation for texts of ordinary length.

use std::ops::Deref;

use arrayvec::ArrayString;

/// Bytes that are folded in place; longer texts are rare and take an allocation.
const SHORT_BYTES: usize = 64;

/// A text in ASCII lower case.
#[derive(Debug, Clone)]
pub(crate) enum Folded<'a> {
    /// It was in lower case already.
    Same(&'a str),
    Short(ArrayString<SHORT_BYTES>),
    Long(Box<str>),
}

impl Deref for Folded<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Self::Same(text) => text,
            Self::Short(text) => text,
            Self::Long(text) => text,
        }
    }
}

/// ASCII lower case, of a text that has upper-case letters or not.
#[inline]
pub(crate) fn fold(text: &str, has_upper: bool) -> Folded<'_> {
    if !has_upper {
        return Folded::Same(text);
    }
    match ArrayString::from(text) {
        Ok(mut short) => {
            short.make_ascii_lowercase();
            Folded::Short(short)
        }
        Err(_) => Folded::Long(text.to_ascii_lowercase().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_knows_every_length() {
        for length in [0, 1, 63, 64, 65, 300] {
            let text: String = "aB:é".chars().cycle().take(length).collect();
            assert_eq!(&*fold(&text, true), text.to_ascii_lowercase());
            let lower = text.to_ascii_lowercase();
            assert_eq!(&*fold(&lower, false), lower);
        }
    }
}
