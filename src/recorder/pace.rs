//! When the next keyframe is due: by what was recorded since the last one, and by nothing else, so that a run that goes on
//! after a kill keeps the keyframes that it would have kept.
//!
//! Must not know the clock, nor how a keyframe is made.

/// Ticks between two keyframes at most: bounds the steps of a seek in a world where little happens.
pub const MOST_TICKS: u64 = 1024;
/// Bytes of inputs and events between two keyframes at least, where keyframes are small: bounds what a seek reads.
pub const LEAST_BYTES: u64 = 256 << 10;
/// How many times its own size a keyframe has to wait for: all of them take at most a 17th of keyframes, inputs and events,
/// but for those that are due by their ticks.
pub const SHARE: u64 = 16;
/// What an event counts: a row of it takes about as much.
pub const EVENT_BYTES: u64 = 64;

/// Counts what was recorded since the last keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    size: u64,
    ticks: u64,
    bytes: u64,
}

impl Pace {
    /// Behind a keyframe of that many bytes.
    pub fn behind(size: usize) -> Pace {
        Pace {
            size: size as u64,
            ..Pace::default()
        }
    }

    /// The same, and so many ticks with that many bytes of inputs since.
    pub fn since(size: usize, ticks: u64, bytes: u64) -> Pace {
        Pace {
            size: size as u64,
            ticks,
            bytes,
        }
    }

    /// The same, behind a keyframe of that many bytes.
    pub fn of_size(self, size: usize) -> Pace {
        Pace {
            size: size as u64,
            ..self
        }
    }

    /// A tick was recorded: the bytes of its input, and how many events it had.
    pub fn add(&mut self, input_bytes: usize, events: usize) {
        self.ticks += 1;
        self.bytes += input_bytes as u64;
        self.add_events(events);
    }

    /// Events of ticks that were counted already.
    pub fn add_events(&mut self, events: usize) {
        self.bytes += events as u64 * EVENT_BYTES;
    }

    /// Whether the last tick gets a keyframe.
    pub fn is_due(&self) -> bool {
        self.ticks >= MOST_TICKS || self.bytes >= LEAST_BYTES.max(self.size * SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ticks of the keyframes among so many ticks, each with the same input, events and keyframe.
    fn keyframes(ticks: u64, input: usize, events: usize, size: usize) -> Vec<u64> {
        let mut pace = Pace::behind(size);
        let mut kept = Vec::new();
        for tick in 1..=ticks {
            pace.add(input, events);
            if pace.is_due() {
                pace = Pace::behind(size);
                kept.push(tick);
            }
        }
        kept
    }

    #[test]
    fn a_quiet_world_is_kept_by_its_ticks_and_a_busy_one_by_its_bytes() {
        assert_eq!(keyframes(3000, 20, 0, 500), [1024, 2048]);
        assert_eq!(keyframes(900, 600, 2, 700), [361, 722]);
        assert_eq!(keyframes(9, 1 << 18, 0, 700), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(
            keyframes(1000, 0, 1024, 0),
            (1..=250).map(|n| n * 4).collect::<Vec<_>>()
        );
    }

    #[test]
    fn large_keyframes_take_no_more_than_their_share() {
        for (input, events, size) in [(60_000, 900, 80_000), (600, 2, 90_000), (5000, 0, 20_000)] {
            let ticks = 20_000;
            let kept = keyframes(ticks, input, events, size).len() as u64;
            let others = ticks * (input as u64 + events as u64 * EVENT_BYTES);
            let share = kept * size as u64;
            let by_ticks = ticks / MOST_TICKS * size as u64;
            assert!(
                share * SHARE <= others || share <= by_ticks,
                "{share} beside {others}"
            );
        }
    }
}
