//! What a seed means: a mode, seats, their habits, and when the run is stopped. Must not know how a case is run.

use formicarium_agents::RestartPolicy;
use formicarium_engine::Mode;

/// Chance that depends on a seed alone (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A stream of its own for each purpose.
    pub fn new(seed: u64, purpose: u64) -> Chance {
        let mut chance = Chance(seed ^ purpose.wrapping_mul(0xD1B5_4A32_D192_ED03));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both included.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.within(1, 100) <= percent
    }

    /// One of them.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.within(0, of.len() as u64 - 1) as usize]
    }
}

/// What a process is likely to do at each observation, in percent; 0 for most processes and most of it.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    /// Answers after the end of the tick.
    pub late: u64,
    /// Does not answer.
    pub silent: u64,
    /// Answers twice or more.
    pub twice: u64,
    /// Sends hundreds of lines.
    pub flood: u64,
    /// Sends what is no message.
    pub garbage: u64,
    /// Sends one line of more than a line may have.
    pub huge: u64,
    /// Answers in two halves, with a pause between.
    pub halves: u64,
    /// Answers a tick that is over, or yet to come.
    pub wrong_tick: u64,
    /// Asks to remember something, and says something to the log.
    pub chatter: u64,
    /// Ends with a status, or by a signal.
    pub crash: u64,
    /// Its keeper is killed.
    pub lose_keeper: u64,
    /// Closes its output and lives on.
    pub mute: u64,
    /// Stops for good, and reads no more.
    pub hang: u64,
    /// Never says that it is ready.
    pub never_ready: bool,
    /// Cannot be started.
    pub no_program: u64,
    /// Lives on after SIGTERM.
    pub ignores_term: bool,
}

/// One seat.
#[derive(Debug, Clone)]
pub struct Seat {
    /// What its process does.
    pub habits: Habits,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// How often at most.
    pub restarts: u32,
    /// Usual milliseconds to an answer, least and most.
    pub pace_ms: (u64, u64),
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The seed that it comes from.
    pub seed: u64,
    /// Who is asked, and when.
    pub mode: Mode,
    /// Ticks a second, where nobody is waited for.
    pub hz: f64,
    /// Longest wait, where somebody is.
    pub deadline_ms: u64,
    /// The last tick.
    pub ticks: u64,
    /// Agents are asked at the start and at the end.
    pub interview: bool,
    /// Whether there is a feed.
    pub watched: bool,
    /// The host is told to stop at this time of the clock.
    pub stop_ms: Option<u64>,
    /// The seats in their order.
    pub seats: Vec<Seat>,
}

impl Case {
    /// The case of a seed.
    pub fn new(seed: u64) -> Case {
        let mut chance = Chance::new(seed, 1);
        let hz = chance.one_of(&[2.0, 8.0, 20.0, 50.0]);
        let mode = chance.one_of(&[
            Mode::Lockstep,
            Mode::Lockstep,
            Mode::Realtime,
            Mode::Turns,
            Mode::Async,
        ]);
        let deadline_ms = chance.one_of(&[50, 200, 1000]);
        let window_ms = match mode {
            Mode::Lockstep | Mode::Turns => deadline_ms,
            Mode::Realtime | Mode::Async => (1000.0 / hz) as u64,
        };
        let count = chance.within(1, 8);
        let seats = (0..count)
            .map(|seat| Seat::new(seed, seat, window_ms))
            .collect();
        Case {
            seed,
            mode,
            hz,
            deadline_ms,
            ticks: chance.within(5, 60),
            interview: chance.percent(30),
            watched: chance.percent(30),
            stop_ms: chance.percent(10).then(|| chance.within(0, 5000)),
            seats,
        }
    }

    /// The longest time between an observation and the close of its tick.
    pub fn window_ms(&self) -> u64 {
        match self.mode {
            Mode::Lockstep | Mode::Turns => self.deadline_ms,
            Mode::Realtime | Mode::Async => (1000.0 / self.hz) as u64 + 1,
        }
    }
}

impl Seat {
    fn new(seed: u64, seat: u64, window_ms: u64) -> Seat {
        let mut chance = Chance::new(seed, 100 + seat);
        let mut habits = Habits::default();
        // Half of all are good; the others have a bad habit or three.
        if chance.percent(50) {
            for _ in 0..chance.within(1, 3) {
                let often = chance.one_of(&[2, 10, 40]);
                match chance.within(0, 15) {
                    0 => habits.late = often,
                    1 => habits.silent = often,
                    2 => habits.twice = often,
                    3 => habits.flood = often.min(10),
                    4 => habits.garbage = often,
                    5 => habits.huge = often.min(10),
                    6 => habits.halves = often,
                    7 => habits.wrong_tick = often,
                    8 => habits.chatter = often,
                    9 => habits.crash = often,
                    10 => habits.lose_keeper = often,
                    11 => habits.mute = often,
                    12 => habits.hang = often,
                    13 => habits.never_ready = true,
                    14 => habits.no_program = often,
                    _ => habits.ignores_term = true,
                }
            }
        }
        let most = chance.one_of(&[0, window_ms / 10, window_ms / 2, window_ms * 3 / 2]);
        Seat {
            habits,
            restart: chance.one_of(&[
                RestartPolicy::Never,
                RestartPolicy::OnFailure,
                RestartPolicy::Always,
            ]),
            restarts: chance.within(0, 4) as u32,
            pace_ms: (0, most),
        }
    }
}
