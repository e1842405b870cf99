//! The process that is killed: a broker's thread, and sixteen seats that edit, lease and publish until the end.
//!
//! Must not know what is checked. Each acknowledged version is appended to `acknowledged`, one line each.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use formicarium_agents::broker::*;
use formicarium_agents::workspace::desk::{Desk, DeskPlan};

use crate::Random;
use crate::sqlite::Sqlite;

const SEATS: u64 = 16;
/// It ends at last even if nobody kills it.
const LIFE: Duration = Duration::from_secs(60);

/// Drives until it is killed. A fault ends it with a message.
pub fn drive(folder: &Path, seed: u64, round: u64) -> ! {
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    let journal = Sqlite::open(&folder.join("run.db")).expect("the journal opens");
    let (mut broker, _) =
        Broker::open(folder, Box::new(journal), Limits::default(), 0).expect("recovery");
    if broker.sequence() == 0 {
        let text: String = (0..40).map(|n| format!("line {n}\n")).collect();
        let first = |at: &str| Change {
            path: TreePath::new(at).expect("a path"),
            wanted: Wanted::file(text.as_bytes(), false),
            base: Base::NONE,
            from: None,
        };
        let changes = ["f0", "f1", "f2", "d0/f0", "d1/f1", "d1/d2/f2"]
            .map(first)
            .into();
        let seeded = Publish {
            changes,
            ..Publish::default()
        };
        broker.publish(&[seeded], 0).expect("the first publish");
    }
    // The processes of the seats died with the last host.
    let _ = fs::remove_dir_all(folder.join("agents"));
    let (handle, _thread) = BrokerThread::start(broker).expect("a thread");
    static TICK: AtomicU64 = AtomicU64::new(0);
    for n in 0..SEATS {
        let (handle, folder) = (handle.clone(), folder.to_owned());
        std::thread::spawn(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let acknowledged = File::options()
                    .append(true)
                    .create(true)
                    .open(folder.join("acknowledged"))
                    .expect("the list of what was acknowledged");
                let name = format!("seat-{n}");
                let random = Random(seed ^ (n << 32) ^ round);
                let mut seat = Seat {
                    desk: seat_desk(&handle, &folder, &name),
                    name,
                    folder,
                    handle,
                    random,
                    acknowledged,
                    tokens: Vec::new(),
                };
                loop {
                    seat.turn(TICK.fetch_add(1, Ordering::Relaxed));
                }
            }));
            if result.is_err() {
                std::process::exit(3);
            }
        });
    }
    std::thread::sleep(LIFE);
    std::process::exit(4)
}

fn present(handle: &BrokerThread) -> (Vec<Version>, u64, PathBuf) {
    let call = |broker: &mut Broker, _| {
        let present = broker.index().present().cloned().collect();
        (present, broker.sequence(), broker.shared())
    };
    handle.with(call).expect("the broker lives")
}

fn seat_desk(handle: &BrokerThread, folder: &Path, name: &str) -> Desk {
    let workspace = folder.join("agents").join(name);
    let _ = fs::remove_dir_all(&workspace);
    fs::create_dir_all(&workspace).expect("a workspace");
    let (present, sequence, shared) = present(handle);
    let plan = DeskPlan {
        workspace,
        shared,
        owner: None,
        limits: Limits::default(),
        time: LIFE,
    };
    Desk::make(plan, &present, sequence).expect("a desk")
}

struct Seat {
    name: String,
    folder: PathBuf,
    handle: BrokerThread,
    desk: Desk,
    random: Random,
    acknowledged: File,
    tokens: Vec<u64>,
}

impl Seat {
    fn turn(&mut self, tick: u64) {
        for _ in 0..=self.random.below(3) {
            let style = self.random.below(16);
            edit(&self.desk.path(), &mut self.random, style, &self.name);
        }
        self.lease(tick);
        let mut asked = self.desk.collect(None, &mut ()).expect("the desk is read");
        asked.seat = Some(self.name.clone());
        asked.tick = tick;
        asked.tokens.clone_from(&self.tokens);
        let outcome = self.handle.publish(asked).expect("the journal works");
        for version in &outcome.versions {
            let mut line = serde_json::to_vec(version).expect("a line");
            line.push(b'\n');
            self.acknowledged.write_all(&line).expect("it is noted");
        }
        self.desk.settle(&outcome);
        self.refused(&outcome);
        self.refresh();
        // An agent that crashes: its leases end, and its desk is made anew.
        if self.random.one_in(60) {
            let name = self.name.clone();
            let end = move |broker: &mut Broker, now| broker.end_seat(&name, tick, now);
            self.handle.with(end).expect("the broker lives");
            self.desk = seat_desk(&self.handle, &self.folder, &self.name);
        }
    }

    fn lease(&mut self, tick: u64) {
        let (name, random) = (self.name.clone(), &mut self.random);
        match random.below(12) {
            0 => {
                let path = a_path(random);
                let scope = match random.below(16) {
                    0 => Scope::Tree,
                    1..6 => Scope::Subtree(path),
                    _ => Scope::Path(path),
                };
                let ttl_ms = 1 + random.below(300);
                let granted = self
                    .handle
                    .with(move |broker, now| broker.grant(scope, &name, ttl_ms, tick, now))
                    .expect("the broker lives");
                match granted {
                    Ok(lease) => {
                        self.tokens.push(lease.token);
                        // It was asked for to be used.
                        if let Some(path) = lease.scope.path() {
                            let at = self.desk.path().join(path.as_str());
                            let _ = at.parent().map(fs::create_dir_all);
                            let _ = fs::remove_file(&at);
                            let _ = fs::write(at, format!("{} {tick}\n", lease.token));
                        }
                    }
                    Err(BrokerError::Lease(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            1 => {
                if let Some(token) = self.tokens.pop() {
                    let release = move |broker: &mut Broker, now| {
                        broker.release(token, &name, tick, now).is_ok()
                    };
                    self.handle.with(release).expect("the broker lives");
                }
            }
            _ => {}
        }
    }

    /// Bad tokens are dropped; of collisions some are brought together and some given up.
    fn refused(&mut self, outcome: &Outcome) {
        let mut over = false;
        for refusal in &outcome.refusals {
            over |= refusal.reason == Reason::Token;
            if matches!(
                refusal.reason,
                Reason::Conflict | Reason::Kind | Reason::Leased
            ) {
                let path = TreePath::new(&refusal.path).expect("a path of the tree");
                let current = {
                    let path = path.clone();
                    let newest = move |broker: &mut Broker, _| broker.index().get(&path).cloned();
                    self.handle.with(newest).expect("the broker lives")
                };
                match current {
                    Some(version)
                        if refusal.reason == Reason::Conflict && self.random.one_in(2) =>
                    {
                        self.desk.resolve(&version);
                    }
                    Some(version) => {
                        let taken = self
                            .desk
                            .take(&version, &mut ())
                            .expect("the desk is written");
                        if !taken {
                            let _ = fs::remove_dir_all(self.desk.path().join(path.as_str()));
                        }
                    }
                    None => {
                        let at = self.desk.path().join(path.as_str());
                        let _ = fs::remove_file(&at).or_else(|_| fs::remove_dir_all(&at));
                    }
                }
            }
        }
        if over {
            self.tokens.clear();
            let name = self.name.clone();
            let own = move |broker: &mut Broker, _| {
                broker
                    .leases()
                    .of_seat(&name)
                    .map(|l| l.token)
                    .collect::<Vec<_>>()
            };
            // Now and then with a token that is over already: it has to be refused.
            let mut own = self.handle.with(own).expect("the broker lives");
            self.tokens.append(&mut own);
        }
    }

    fn refresh(&mut self) {
        let since = self.desk.sequence();
        let changed = move |broker: &mut Broker, _| {
            let changed: Vec<Version> = broker.index().changed_since(since).cloned().collect();
            (changed, broker.sequence())
        };
        let (changed, sequence) = self.handle.with(changed).expect("the broker lives");
        let handle = self.handle.clone();
        self.desk
            .refresh(&changed, move || present(&handle).0, sequence, &mut ())
            .expect("the desk is refreshed");
    }
}

fn a_path(random: &mut Random) -> TreePath {
    const FOLDERS: [&str; 6] = ["", "", "d0/", "d1/", "d1/d2/", "d3/"];
    const NAMES: [&str; 6] = ["f0", "f1", "f2", "f3", "d2", "d4"];
    let folder = FOLDERS[random.below(6) as usize];
    let name = NAMES[random.below(6) as usize];
    TreePath::new(&format!("{folder}{name}")).expect("a path")
}

/// One edit in one of the styles of shells, editors and agents. What is not there cannot be edited, which is fine.
fn edit(desk: &Path, random: &mut Random, style: u64, who: &str) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let at = desk.join(a_path(random).as_str());
    let other = desk.join(a_path(random).as_str());
    // Links lead nowhere, and are never written through: this runs with the rights of whoever tests.
    if at.is_symlink() {
        let _ = fs::remove_file(&at);
        return;
    }
    let beside = at.with_extension("tmp");
    let text = |random: &mut Random| {
        let old = fs::read_to_string(&at).unwrap_or_default();
        let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
        let n = random.below(lines.len() as u64 + 1) as usize;
        let line = format!("{who} {}", random.below(1000));
        match lines.get_mut(n) {
            Some(old) => *old = line,
            None => lines.push(line),
        }
        lines.truncate(60);
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let _ = match style {
        0..3 if at.is_file() => fs::write(&at, text(random)),
        3 | 4 if at.is_file() => {
            fs::write(&beside, text(random)).and_then(|()| fs::rename(&beside, &at))
        }
        5 if at.is_file() => {
            let text = text(random);
            fs::remove_file(&at).and_then(|()| fs::write(&at, text))
        }
        6 => File::options()
            .append(true)
            .open(&at)
            .and_then(|mut f| f.write_all(format!("{who}\n").as_bytes())),
        7 => File::options()
            .write(true)
            .open(&at)
            .and_then(|f| f.set_len(random.below(200))),
        8 => fs::set_permissions(
            &at,
            fs::Permissions::from_mode(if random.one_in(2) { 0o755 } else { 0o600 }),
        ),
        9 => fs::create_dir_all(&at),
        10 => fs::remove_dir(&at),
        11 => fs::rename(&at, &other),
        12 => at
            .parent()
            .map_or(Ok(()), |folder| fs::rename(folder, &other)),
        13 => fs::remove_file(&at),
        14 if random.one_in(4) => fs::remove_dir_all(&at),
        15 if random.one_in(8) => symlink("nowhere", &at),
        _ => at
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&at, text(random))),
    };
}
