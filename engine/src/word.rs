//! Texts eight bytes at a time: ASCII case, delimiters and hashes without a branch for each byte.
//!
//! A word holds its bytes in the order of the text from the low end, zeros after the end of the text. Masks have the
//! high bit of each byte they mean.

use std::ops::ControlFlow;

const HIGH: u64 = 0x8080_8080_8080_8080;

/// The byte in all eight places.
const fn splat(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// Shows the words of a text, the last one padded with zeros, until `visit` breaks.
#[inline(always)]
pub(crate) fn visit_words<B>(text: &[u8], mut visit: impl FnMut(u64) -> ControlFlow<B>) -> ControlFlow<B> {
    let (whole, rest) = text.as_chunks::<8>();
    let (mut whole, mut has_rest) = (whole.iter(), !rest.is_empty());
    // One place that calls `visit`, so that it is compiled into the loop.
    loop {
        let word = match whole.next() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None if !std::mem::take(&mut has_rest) => return ControlFlow::Continue(()),
            None => match text.last_chunk::<8>() {
                // The last eight bytes without those that belong to the word before.
                Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
                None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
            },
        };
        visit(word)?;
    }
}

/// Folds over the words of a text.
#[inline(always)]
pub(crate) fn fold_words<T>(text: &str, mut state: T, step: impl Fn(T, u64) -> T) -> T
where
    T: Copy,
{
    let _: ControlFlow<()> = visit_words(text.as_bytes(), |word| {
        state = step(state, word);
        ControlFlow::Continue(())
    });
    state
}

/// Mask of the bytes that equal `byte`.
#[inline(always)]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ splat(byte);
    !(((other & !HIGH) + !HIGH) | other) & HIGH
}

/// Mask of the ASCII upper-case letters.
#[inline(always)]
pub(crate) fn upper(word: u64) -> u64 {
    let seven = word & !HIGH;
    ((seven + splat(0x80 - b'A')) ^ (seven + splat(0x7F - b'Z'))) & !word & HIGH
}

/// The word in ASCII lower case.
#[inline(always)]
pub(crate) fn lower(word: u64) -> u64 {
    word | upper(word) >> 2
}

/// The place of the first byte of a mask; 8 when it has none.
#[inline(always)]
pub(crate) fn first(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

/// The bytes of the word before place `at`.
#[inline(always)]
pub(crate) fn start(word: u64, at: usize) -> u64 {
    if at >= 8 { word } else { word & !(u64::MAX << (8 * at)) }
}

/// Stirs a word into a hash.
#[inline(always)]
pub(crate) fn stir(hash: u64, word: u64) -> u64 {
    const ODD: u128 = 0x9E37_79B9_7F4A_7C15;
    let stirred = u128::from(hash ^ word ^ 0xD6E8_FEB8_6659_FD93).wrapping_mul(ODD);
    (stirred >> 64) as u64 ^ stirred as u64
}

/// A hash of the text in ASCII lower case, for look-ups that compare the text as well.
#[inline]
pub(crate) fn hash_folded(text: &str) -> u64 {
    fold_words(text, text.len() as u64, |hash, word| stir(hash, lower(word)))
}

/// Whether the text has nothing but digits.
#[inline]
pub(crate) fn are_digits(text: &str) -> bool {
    text.as_bytes().iter().fold(true, |all, byte| all & byte.is_ascii_digit())
}

/// Whether the text has a `*` or a `?`.
#[inline(always)]
pub(crate) fn has_wildcard(text: &str) -> bool {
    fold_words(text, 0, |found, word| found | equal(word, b'*') | equal(word, b'?')) != 0
}

/// Whether `text` in ASCII lower case is `folded`.
#[inline]
pub(crate) fn equals_folded(text: &str, folded: &str) -> bool {
    let (text, folded) = (text.as_bytes(), folded.as_bytes());
    if text.len() != folded.len() {
        return false;
    }
    let same = |one: &[u8; 8], other: &[u8; 8]| lower(u64::from_le_bytes(*one)) == u64::from_le_bytes(*other);
    let ((whole, rest), (other, _)) = (text.as_chunks::<8>(), folded.as_chunks::<8>());
    if !whole.iter().zip(other).all(|(one, other)| same(one, other)) {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    match (text.last_chunk::<8>(), folded.last_chunk::<8>()) {
        (Some(one), Some(other)) => same(one, other),
        _ => text.iter().map(u8::to_ascii_lowercase).eq(folded.iter().copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte in every place of texts of up to three words.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        (0..=255_u8).flat_map(|byte| {
            (0..20).map(move |length| (0..length).map(|at| if at % 3 == 0 { byte } else { b'a' }).collect())
        })
    }

    fn words(text: &[u8]) -> Vec<u64> {
        let mut words = Vec::new();
        let _: ControlFlow<()> = visit_words(text, |word| {
            words.push(word);
            ControlFlow::Continue(())
        });
        words
    }

    fn places(mask: u64) -> Vec<usize> {
        (0..8).filter(|at| mask >> (8 * at + 7) & 1 == 1).collect()
    }

    #[test]
    fn words_hold_the_bytes_in_order() {
        for text in texts() {
            let bytes: Vec<u8> = words(&text).into_iter().flat_map(u64::to_le_bytes).collect();
            assert_eq!(bytes[..text.len()], text);
            assert!(bytes[text.len()..].iter().all(|byte| *byte == 0) && bytes.len() < text.len() + 8);
        }
    }

    #[test]
    fn masks_say_what_a_look_at_each_byte_says() {
        for text in texts() {
            for word in words(&text) {
                let bytes = word.to_le_bytes();
                let say = |test: &dyn Fn(u8) -> bool| -> Vec<usize> {
                    (0..8).filter(|at| test(bytes[*at])).collect()
                };
                assert_eq!(places(equal(word, b':')), say(&|byte| byte == b':'));
                assert_eq!(places(upper(word)), say(&|byte| byte.is_ascii_uppercase()));
                assert_eq!(lower(word).to_le_bytes(), bytes.map(|byte| byte.to_ascii_lowercase()));
                assert_eq!(first(equal(word, b':')), bytes.iter().position(|b| *b == b':').unwrap_or(8));
                for at in 0..=8 {
                    assert_eq!(start(word, at).to_le_bytes()[..at], bytes[..at]);
                    assert!(start(word, at).to_le_bytes()[at..].iter().all(|byte| *byte == 0));
                }
            }
        }
    }

    #[test]
    fn case_does_not_count() {
        for text in texts() {
            let Ok(text) = String::from_utf8(text) else { continue };
            let folded = text.to_ascii_lowercase();
            assert!(equals_folded(&text, &folded));
            assert_eq!(hash_folded(&text), hash_folded(&folded));
            assert!(!equals_folded(&text, &format!("{folded}x")));
            for at in (0..text.len()).filter(|at| text.as_bytes()[*at].is_ascii()) {
                let mut other = folded.clone().into_bytes();
                other[at] ^= 1;
                assert!(!equals_folded(&text, &String::from_utf8(other).unwrap()));
            }
        }
    }
}
