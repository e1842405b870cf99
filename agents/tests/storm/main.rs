//! A storm: sixteen desks, one tree, edits in every style, leases; and the process that holds them killed at random.
//!
//! After each kill recovery runs, and everything that the journal and the tree must hold is checked. The process that is
//! killed is this executable (`drive`). FORMICARIUM_STORM_ROUNDS sets the number of kills, FORMICARIUM_STORM_SEED
//! the seed, which is printed.

mod check;
mod drive;
#[path = "../journal/sqlite.rs"]
mod sqlite;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libtest_mimic::{Arguments, Failed, Trial};

/// Kills in the test suite.
const ROUNDS: u64 = 20;
/// How long a driver may take for a few dozen publishes.
const PATIENCE: Duration = Duration::from_secs(50);

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).map(String::as_str) == Some("drive") {
        let number = |n: usize| words[n].parse().expect("a number");
        drive::drive(Path::new(&words[2]), number(3), number(4));
    }
    let trials = vec![Trial::test(
        "storm::nothing_acknowledged_is_lost_whenever_it_is_killed",
        storm,
    )];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A small generator (splitmix64): the same seed gives the same wishes, if not the same timing.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("storm: the run's folder is left in {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Waits until so many more bytes of acknowledgements are there: some 400 each.
fn wait_for_work(list: &Path, bytes: u64, driver: &mut Child) -> std::io::Result<()> {
    let size = || std::fs::metadata(list).map_or(0, |found| found.len());
    let (before, began) = (size(), Instant::now());
    while size() < before + bytes && driver.try_wait()?.is_none() {
        assert!(began.elapsed() < PATIENCE, "the storm stands still");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn storm() -> Result<(), Failed> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let seed = from_environment("FORMICARIUM_STORM_SEED").unwrap_or(clock);
    let rounds = from_environment("FORMICARIUM_STORM_ROUNDS").unwrap_or(ROUNDS);
    println!("storm: seed {seed}, {rounds} kills");
    let path = std::env::temp_dir().join(format!("formicarium-storm-{}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    let folder = Folder(path);
    let mut random = Random(seed);
    let mut check = check::Check::new(&folder.0);
    let acknowledged = folder.0.join("acknowledged");
    for round in 0..rounds {
        let mut driver = Command::new(std::env::current_exe()?)
            .args(["drive".as_ref(), folder.0.as_os_str()])
            .args([random.next().to_string(), round.to_string()])
            .stdin(Stdio::null())
            .spawn()?;
        // Mostly in the midst of work, after some acknowledgements; now and then while it recovers and makes desks.
        if random.one_in(5) {
            std::thread::sleep(Duration::from_millis(random.below(60)));
        } else {
            wait_for_work(&acknowledged, random.below(12_000), &mut driver)?;
            std::thread::sleep(Duration::from_micros(random.below(20_000)));
        }
        // It ends by itself only by a fault.
        let ended = driver.try_wait()?;
        driver.kill()?;
        driver.wait()?;
        assert!(
            ended.is_none(),
            "the driver ended by itself in round {round} of seed {seed}: {ended:?}"
        );
        let journal = sqlite::Sqlite::open(&folder.0.join("run.db")).expect("the journal opens");
        check.round(&format!("round {round} of seed {seed}"), &journal);
    }
    let counts = check.counts;
    println!("storm: {rounds} kills, {counts}");
    // What chance decides is asked of long storms only.
    let is_long = rounds >= 100;
    let is_storm = counts.acknowledged > 0 && counts.refused > 0;
    assert!(is_storm && (!is_long || counts.merged > 0 && counts.leased > 0));
    Ok(())
}
