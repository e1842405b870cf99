//! Real agent processes under the real keepers. Each case runs in a process of its own, because the nursery has to be
//! forked before any thread, and a test harness has threads.

mod apart;
mod faults;
mod life;
mod scale;
mod stage;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use formicarium_agents::isolation::uid::{self, UidRange};
use libtest_mimic::{Arguments, Failed, Trial};

/// Whom a case runs as.
#[derive(Clone, Copy, PartialEq)]
enum As {
    /// Whoever runs the tests.
    Caller,
    /// Root, or it cannot be run.
    Root,
    /// Somebody else than root.
    Other,
}

/// Names the case that a child of this program is to run.
const CASE: &str = "FORMICARIUM_TEST_CASE";

type Case = fn(stage::Start);

const CASES: [(&str, As, Case); 22] = [
    (
        "every_bad_habit_is_named_and_hurts_nobody_else",
        As::Caller,
        faults::every_bad_habit,
    ),
    (
        "a_missing_program_is_the_casts_fault",
        As::Caller,
        faults::missing_programs,
    ),
    (
        "folders_that_cannot_be_made_are_found_before_anything_starts",
        As::Caller,
        faults::unusable_plans,
    ),
    (
        "standard_error_is_kept_up_to_its_limit",
        As::Caller,
        faults::stderr_is_limited,
    ),
    (
        "a_flood_costs_no_memory",
        As::Caller,
        faults::long_lines_and_floods_cost_no_memory,
    ),
    (
        "a_line_without_an_end_stops_nobody",
        As::Caller,
        faults::endless_line,
    ),
    (
        "restarts_follow_the_policy_and_remembering_is_the_hosts",
        As::Caller,
        life::restarts,
    ),
    (
        "stop_kills_who_ignores_sigterm",
        As::Caller,
        life::stop_kills,
    ),
    (
        "shutdown_leaves_nothing",
        As::Caller,
        life::shutdown_leaves_nothing,
    ),
    (
        "nothing_outlives_a_killed_host",
        As::Caller,
        life::killed_host,
    ),
    (
        "nothing_outlives_a_killed_keeper",
        As::Caller,
        life::killed_keeper,
    ),
    ("agents_see_a_clean_world", As::Caller, life::clean_world),
    (
        "agents_dropped_without_shutdown_are_ended",
        As::Caller,
        life::dropped,
    ),
    (
        "a_hundred_agents_and_what_they_cost",
        As::Caller,
        scale::a_hundred_agents,
    ),
    ("seats_are_apart_at_level_uid", As::Root, apart::uid_attack),
    (
        "seats_are_apart_at_level_landlock",
        As::Other,
        apart::landlock_attack,
    ),
    (
        "nothing_outlives_its_seat_at_level_uid",
        As::Root,
        apart::uid_leftovers,
    ),
    (
        "nothing_outlives_its_seat_at_level_landlock",
        As::Other,
        apart::landlock_leftovers,
    ),
    ("limits_end_what_they_are_for", As::Caller, apart::limits),
    (
        "a_hundred_isolated_agents_at_level_uid",
        As::Root,
        apart::uid_cost,
    ),
    (
        "a_hundred_isolated_agents_at_level_landlock",
        As::Other,
        apart::landlock_cost,
    ),
    (
        "a_hundred_isolated_agents_at_level_advisory",
        As::Caller,
        apart::advisory_cost,
    ),
];

fn main() {
    if let Ok(name) = std::env::var(CASE) {
        let (_, _, case) = CASES
            .iter()
            .find(|(n, _, _)| *n == name)
            .expect("a case of this program");
        let nursery = formicarium_agents::Nursery::start().expect("no thread has been started");
        case(stage::Start::new(nursery));
        return;
    }
    let trials = CASES
        .iter()
        .map(|(name, user, _)| Trial::test(*name, move || run(name, *user)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(name: &str, user: As) -> Result<(), Failed> {
    let is_root = nix::unistd::geteuid().is_root();
    if user == As::Root && !is_root {
        eprintln!("NOT TESTED: {name} (needs root)");
        return Ok(());
    }
    let mut command = Command::new(std::env::current_exe()?);
    command
        .env(CASE, name)
        .env(apart::SECRET.0, apart::SECRET.1);
    // Nobody else's for as long as the case runs.
    let claims = match user == As::Other && is_root {
        true => uid::claim(UidRange::DEFAULT, 1, uid::CLAIMS.as_ref())?,
        false => Vec::new(),
    };
    for claim in &claims {
        command.uid(claim.owner().uid).gid(claim.owner().gid);
    }
    let mut child = command.spawn()?;
    for _ in 0..1200 {
        if let Some(status) = child.try_wait()? {
            let _ = std::fs::remove_dir_all(stage::folder_of(child.id()));
            return if status.success() {
                Ok(())
            } else {
                Err(format!("the case ended with {status}").into())
            };
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    Err("the case hangs".into())
}
