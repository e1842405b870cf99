//! Counter-based chance: a stream is named by (seed, tick, system, entity) and holds no state between steps, so
//! neither threads nor iteration order can change a run. It must not know what is drawn for.
//!
//! The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011; the tests hold its published known-answer vectors.

/// Who draws. The number is part of every stream's name and so of the semantics version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum System {
    /// Which spawn cell a seat starts on.
    Spawn = 1,
    /// Who gets a contested cell.
    Movement = 2,
    /// Whether something grows.
    Regrow = 3,
    /// Whether a fault strikes a seat's agent. Drawn by the host, beside the world.
    Fault = 4,
}

/// One stream of numbers.
pub(crate) struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of (seed, tick, system, entity). Ticks count modulo 2^48.
    pub(crate) fn new(seed: u64, tick: u64, system: System, entity: u32) -> Self {
        let high = ((tick >> 32) as u32 & 0xffff) | (u32::from(system as u16) << 16);
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, entity, tick as u32, high],
            block: [0; 4],
            used: 4,
        }
    }

    /// The next 32 bits.
    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32_10(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// A number in 0 <= x < 1 with 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A whole number in 0 <= x < n, without bias (Lemire 2019). `n` must not be 0.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        debug_assert!(n > 0, "below(0) has no answer");
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            let low = product as u32;
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 32) as u32;
            }
        }
    }
}

fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key[0] = key[0].wrapping_add(0x9E37_79B9);
            key[1] = key[1].wrapping_add(0xBB67_AE85);
        }
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        for (counter, key, expected) in [
            (
                [0; 4],
                [0; 2],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn streams_differ_in_every_part_of_their_name() {
        let first = |seed, tick, system, entity| Stream::new(seed, tick, system, entity).next_u64();
        let base = first(1, 1, System::Regrow, 1);
        assert_ne!(base, first(2, 1, System::Regrow, 1));
        assert_ne!(base, first(1, 2, System::Regrow, 1));
        assert_ne!(base, first(1, 1 + (1 << 32), System::Regrow, 1));
        assert_ne!(base, first(1, 1, System::Movement, 1));
        assert_ne!(base, first(1, 1, System::Regrow, 2));
        assert_ne!(base, first(1 << 32 | 1, 1, System::Regrow, 1));
    }

    #[test]
    fn below_is_fair_and_unit_is_in_range() {
        let mut stream = Stream::new(7, 0, System::Movement, 0);
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            counts[stream.below(3) as usize] += 1;
            let unit = stream.unit();
            assert!((0.0..1.0).contains(&unit));
        }
        // Five standard deviations of a binomial with n = 30000, p = 1/3.
        for count in counts {
            assert!((i64::from(count) - 10_000).abs() < 5 * 82, "{counts:?}");
        }
    }
}
