//! Real agent processes under the real keepers. Each case runs in a process of its own, because the nursery has to be
//! forked before any thread, and a test harness has threads.

mod faults;
mod life;
mod scale;
mod stage;

use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

/// Names the case that a child of this program is to run.
const CASE: &str = "FORMICARIUM_TEST_CASE";

type Case = fn(stage::Start);

const CASES: [(&str, Case); 14] = [
    (
        "every_bad_habit_is_named_and_hurts_nobody_else",
        faults::every_bad_habit,
    ),
    (
        "a_missing_program_is_the_casts_fault",
        faults::missing_programs,
    ),
    (
        "folders_that_cannot_be_made_are_found_before_anything_starts",
        faults::unusable_plans,
    ),
    (
        "standard_error_is_kept_up_to_its_limit",
        faults::stderr_is_limited,
    ),
    (
        "a_flood_costs_no_memory",
        faults::long_lines_and_floods_cost_no_memory,
    ),
    ("a_line_without_an_end_stops_nobody", faults::endless_line),
    (
        "restarts_follow_the_policy_and_remembering_is_the_hosts",
        life::restarts,
    ),
    ("stop_kills_who_ignores_sigterm", life::stop_kills),
    ("shutdown_leaves_nothing", life::shutdown_leaves_nothing),
    ("nothing_outlives_a_killed_host", life::killed_host),
    ("nothing_outlives_a_killed_keeper", life::killed_keeper),
    ("agents_see_a_clean_world", life::clean_world),
    ("agents_dropped_without_shutdown_are_ended", life::dropped),
    (
        "a_hundred_agents_and_what_they_cost",
        scale::a_hundred_agents,
    ),
];

fn main() {
    if let Ok(name) = std::env::var(CASE) {
        let (_, case) = CASES
            .iter()
            .find(|(n, _)| *n == name)
            .expect("a case of this program");
        let nursery = formicarium_agents::Nursery::start().expect("no thread has been started");
        case(stage::Start::new(nursery));
        return;
    }
    let trials = CASES
        .iter()
        .map(|(name, _)| Trial::test(*name, move || run(name)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(name: &str) -> Result<(), Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(CASE, name)
        .spawn()?;
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
