//! Changes to an input: small and blind, for runs without a compiler that reports coverage.

use fastrand::Rng;

use crate::Target;

/// Inputs to change and how.
#[derive(Debug)]
pub struct Mutator<'t> {
    target: &'t Target,
    seeds: Vec<Vec<u8>>,
    random: Rng,
}

impl<'t> Mutator<'t> {
    /// The same inputs in the same order for the same number.
    #[must_use]
    pub fn new(target: &'t Target, seeds: Vec<Vec<u8>>, number: u64) -> Self {
        let seeds = seeds.into_iter().filter(|seed| seed.len() <= target.length_max).collect();
        Self { target, seeds, random: Rng::with_seed(number) }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = match self.seeds.len() {
            0 => (0..self.random.usize(..64)).map(|_| self.random.u8(..)).collect(),
            count => self.seeds[self.random.usize(..count)].clone(),
        };
        // Mostly few changes: many make noise that every reader refuses at once.
        let changes = 1 + self.random.usize(..4) * self.random.usize(..3);
        for _ in 0..changes {
            self.change(&mut input);
        }
        input.truncate(self.target.length_max);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let place = self.random.usize(..=input.len());
        let length = self.random.usize(..=16.min(input.len() - place));
        match self.random.u8(..10) {
            0 => flip(input, place, 1 << self.random.u8(..8)),
            1 => input.insert(place, self.random.u8(..)),
            2 => drop(input.drain(place..place + length)),
            3 => input.truncate(place),
            4 => {
                let again = input[place..place + length].to_vec();
                input.splice(place..place, again);
            }
            5 if self.seeds.len() > 1 => {
                let other = &self.seeds[self.random.usize(..self.seeds.len())];
                let from = self.random.usize(..=other.len());
                let to = (from + self.random.usize(..64)).min(other.len());
                input.splice(place..place + length, other[from..to].iter().copied());
            }
            6 => {
                let Some(byte) = input.get_mut(place) else { return };
                *byte = [0, b' ', b'*', b'"', 0x7f, 0x80, 0xff, byte.wrapping_add(1), byte.wrapping_sub(1)]
                    [self.random.usize(..9)];
            }
            7 => {
                let Some(byte) = input.get_mut(place) else { return };
                *byte ^= 0x20;
            }
            _ if !self.target.words.is_empty() => {
                let word = self.target.words[self.random.usize(..self.target.words.len())];
                let over = if self.random.bool() { length } else { 0 };
                input.splice(place..place + over, word.bytes());
            }
            _ => flip(input, place, 0xff),
        }
    }
}

fn flip(input: &mut [u8], place: usize, mask: u8) {
    if let Some(byte) = input.get_mut(place) {
        *byte ^= mask;
    }
}
