//! Which states were visited: 128 bits of each. It keeps no state itself.

use std::hash::{Hash, Hasher};

/// 128 bits of a value: two different values have the same with a probability that does not matter.
pub(super) fn fingerprint(value: &impl Hash) -> u128 {
    let mut hasher = Lanes { left: 0x243f_6a88_85a3_08d3, right: 0x1319_8a2e_0370_7344 };
    value.hash(&mut hasher);
    hasher.both()
}

/// Two independent hashes side by side.
struct Lanes {
    left: u64,
    right: u64,
}

impl Lanes {
    fn take(&mut self, word: u64) {
        self.left = folded(self.left ^ word, 0xa076_1d64_78bd_642f);
        self.right = folded(self.right.rotate_left(23) ^ word, 0xe703_7ed1_a0b4_28db);
    }

    fn both(&self) -> u128 {
        let left = folded(self.left ^ self.right.rotate_left(32), 0x8ebc_6af0_9c88_c6e3);
        let right = folded(self.right ^ self.left, 0x5899_65cc_7537_4cc3);
        u128::from(left) << 64 | u128::from(right)
    }
}

/// Both halves of the product in one word.
fn folded(word: u64, by: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * u128::from(by);
    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    let halves = (product as u64, (product >> 64) as u64);
    // Zero times anything is zero: what went in must stay in.
    halves.0 ^ halves.1 ^ word.rotate_left(17)
}

impl Hasher for Lanes {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.take(u64::from_le_bytes(word));
        }
        self.take(bytes.len() as u64);
    }

    fn write_u8(&mut self, byte: u8) {
        self.take(u64::from(byte));
    }

    fn write_u32(&mut self, number: u32) {
        self.take(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.take(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.take(number as u64);
    }

    fn finish(&self) -> u64 {
        self.left
    }
}

/// A set of fingerprints: one table, open addressing.
#[derive(Debug)]
pub(super) struct Seen {
    slots: Vec<u128>,
    len: usize,
}

impl Seen {
    /// An empty set.
    pub(super) fn new() -> Self {
        Self { slots: vec![0; 1 << 12], len: 0 }
    }

    /// Puts one in; false if it was there.
    pub(super) fn insert(&mut self, fingerprint: u128) -> bool {
        // 0 is an empty slot.
        let fingerprint = fingerprint.max(1);
        if self.len * 10 >= self.slots.len() * 7 {
            self.grow();
        }
        let slot = Self::slot(&self.slots, fingerprint);
        let new = self.slots[slot] == 0;
        if new {
            self.slots[slot] = fingerprint;
            self.len += 1;
        }
        new
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u128>()
    }

    /// Where it is, or may be put.
    fn slot(slots: &[u128], fingerprint: u128) -> usize {
        let mask = slots.len() - 1;
        let mut slot = fingerprint as usize & mask;
        while slots[slot] != 0 && slots[slot] != fingerprint {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let mut larger = vec![0; self.slots.len() * 2];
        for fingerprint in self.slots.iter().copied().filter(|slot| *slot != 0) {
            let slot = Self::slot(&larger, fingerprint);
            larger[slot] = fingerprint;
        }
        self.slots = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_is_found_again_and_nothing_else() {
        let mut seen = Seen::new();
        let each = |n: u32| fingerprint(&(n, "x"));
        assert!((0..20_000).all(|n| seen.insert(each(n))));
        assert!((0..20_000).all(|n| !seen.insert(each(n))));
        assert_eq!(seen.len, 20_000);
        assert!(seen.insert(each(20_000)));
    }

    #[test]
    fn order_length_and_zeroes_make_a_difference() {
        let values: [&[u64]; 6] = [&[], &[0], &[0, 0], &[1, 2], &[2, 1], &[0x9e37_79b9_7f4a_7c15]];
        let mut seen = Seen::new();
        assert!(values.iter().all(|value| seen.insert(fingerprint(value))));
    }
}
