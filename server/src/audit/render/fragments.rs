//! Rendered pieces of records, kept by the captured bytes that they were rendered from.
//!
//! Principals, actions and statements come back again and again; finding their text costs less than writing it. A place
//! holds one piece, and another with the same place takes it over. Invariant: what is found was rendered from the very
//! same bytes.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

/// A longer key is rendered each time.
const KEY_BYTES_MAX: usize = 1 << 10;

/// Texts of one key.
const PIECES: usize = 5;

/// Several texts of one key, one after the other.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    key: Vec<u8>,
    text: Vec<u8>,
    ends: [usize; PIECES],
    /// Something of it was cut.
    pub(super) truncated: bool,
}

impl Fragment {
    /// Where a text is written; [`Fragment::end`] ends it.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// The text with this number ends here.
    pub(super) fn end(&mut self, number: usize) {
        let end = self.text.len();
        self.ends.iter_mut().skip(number).for_each(|place| *place = end);
    }

    /// The text with this number.
    pub(super) fn text(&self, number: usize) -> &[u8] {
        let from = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let to = self.ends.get(number).copied().unwrap_or(0);
        self.text.get(from..to).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) struct Fragments {
    places: Vec<Fragment>,
    /// For keys that are not kept.
    passing: Fragment,
    hasher: RandomState,
    /// The place that was asked for last: callers ask about the same in a row.
    last: usize,
}

impl Fragments {
    /// With `places` places, a power of two.
    pub(super) fn new(places: usize) -> Self {
        let places = std::iter::repeat_with(Fragment::default).take(places.next_power_of_two()).collect();
        Self { places, passing: Fragment::default(), hasher: RandomState::default(), last: 0 }
    }

    /// The fragment of a key, rendered when it is not there.
    pub(super) fn of(
        &mut self,
        key: &[u8],
        render: impl FnOnce(&mut Fragment) -> Option<()>,
    ) -> Option<&Fragment> {
        if self.places.get(self.last).is_none_or(|last| last.key != key) {
            self.last = self.hasher.hash_one(key) as usize & (self.places.len() - 1);
        }
        let kept = self.places.get_mut(self.last).filter(|_| key.len() <= KEY_BYTES_MAX);
        let fragment = kept.unwrap_or(&mut self.passing);
        // An empty key is what an unused place has.
        if fragment.key == key && !key.is_empty() {
            return Some(fragment);
        }
        fragment.key.clear();
        fragment.text.clear();
        fragment.ends = [0; PIECES];
        fragment.truncated = false;
        render(fragment)?;
        fragment.key.extend_from_slice(key);
        Some(fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered<'f>(fragments: &'f mut Fragments, key: &[u8], calls: &mut u32) -> &'f Fragment {
        let render = |fragment: &mut Fragment| {
            *calls += 1;
            fragment.out().extend_from_slice(b"<");
            fragment.out().extend_from_slice(key);
            fragment.end(0);
            fragment.out().extend_from_slice(b">");
            fragment.end(1);
            Some(())
        };
        fragments.of(key, render).unwrap()
    }

    #[test]
    fn a_key_is_rendered_once_and_another_never_gets_its_text() {
        let mut fragments = Fragments::new(4);
        let mut calls = 0;
        for _ in 0..3 {
            let fragment = rendered(&mut fragments, b"same", &mut calls);
            assert_eq!(
                (fragment.text(0), fragment.text(1), fragment.text(2)),
                (&b"<same"[..], &b">"[..], &b""[..])
            );
        }
        assert_eq!(calls, 1);
        for number in 0..1_000_u32 {
            let key = number.to_string();
            let fragment = rendered(&mut fragments, key.as_bytes(), &mut calls);
            assert_eq!(fragment.text(0), format!("<{key}").as_bytes());
        }
        assert!(calls > 900);
    }

    #[test]
    fn a_long_key_or_none_is_not_kept() {
        let mut fragments = Fragments::new(4);
        let mut calls = 0;
        let long = vec![b'x'; KEY_BYTES_MAX + 1];
        for key in [&long[..], &long[..], b"", b""] {
            assert_eq!(rendered(&mut fragments, key, &mut calls).text(0).len(), key.len() + 1);
        }
        // The passing place knows its last key.
        assert!(calls >= 3);
        assert!(fragments.places.iter().all(|place| place.key.is_empty()));
    }

    #[test]
    fn what_failed_is_not_found() {
        let mut fragments = Fragments::new(1);
        assert!(fragments.of(b"key", |_| None).is_none());
        let mut calls = 0;
        rendered(&mut fragments, b"key", &mut calls);
        assert_eq!(calls, 1);
    }
}
