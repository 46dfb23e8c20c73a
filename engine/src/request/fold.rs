//! ASCII lower case and hashes of it, without an allocation for texts of ordinary length.

use std::hash::{BuildHasher as _, Hasher as _};
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

/// ASCII lower case.
pub(crate) fn fold(text: &str) -> Folded<'_> {
    if !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
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

/// A cheap hash of short texts; whoever looks up by it compares the text as well.
#[inline]
pub(crate) fn hash(text: &str) -> u64 {
    hash_bytes(text.as_bytes())
}

/// The hash of the text in lower case.
#[inline]
pub(crate) fn hash_folded(text: &str) -> u64 {
    let mut buffer = [0_u8; SHORT_BYTES];
    match buffer.get_mut(..text.len()) {
        Some(short) => {
            short.copy_from_slice(text.as_bytes());
            short.make_ascii_lowercase();
            hash_bytes(short)
        }
        None => hash(&text.to_ascii_lowercase()),
    }
}

#[inline]
fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_knows_every_length() {
        for length in [0, 1, 63, 64, 65, 300] {
            let text: String = "aB:é".chars().cycle().take(length).collect();
            assert_eq!(&*fold(&text), text.to_ascii_lowercase());
            assert_eq!(hash_folded(&text), hash(&text.to_ascii_lowercase()));
        }
    }
}
