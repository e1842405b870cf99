//! Arguments, exit statuses and what is said about mistakes.

use crate::host::{Folder, Live, assert_replays, formicarium, output, query_text, run};

#[test]
fn the_json_summary_has_the_promised_shape() {
    let folder = Folder::new("json");
    let out = folder.path("run");
    let summary = run(
        &out,
        &[
            "scenarios/commons",
            "--agent",
            "*=builtin:noop",
            "--ticks",
            "5",
            "--set",
            "harvesters=3",
        ],
    );
    assert_eq!(summary["ticks"], 5);
    assert_eq!(summary["hash"].as_str().map(str::len), Some(32));
    assert_eq!(summary["dir"].as_str(), out.to_str());
    assert!(
        summary["run"]
            .as_str()
            .is_some_and(|run| run.starts_with("commons-"))
    );
    assert!(
        summary["end"]
            .as_str()
            .is_some_and(|end| end.contains("tick 5"))
    );
    let names: Vec<&str> = summary["seats"]
        .as_array()
        .expect("seats")
        .iter()
        .filter_map(|seat| seat["seat"].as_str())
        .collect();
    assert_eq!(names, ["harvester-1", "harvester-2", "harvester-3"]);
    assert_eq!(summary["seats"][0]["status"], "playing");
}

#[test]
fn mistakes_exit_with_2_and_say_what_to_do() {
    let folder = Folder::new("mistakes");
    let full = folder.path("full");
    std::fs::create_dir_all(&full).expect("a folder");
    std::fs::write(full.join("precious"), "keep me").expect("a file");
    let full = full.to_str().expect("UTF-8");
    for (args, words) in [
        (
            vec!["run", "comons", "--headless"],
            "there is no scenario 'comons'",
        ),
        (
            vec!["run", "commons", "--cast", "gredy", "--headless"],
            "did you mean 'greedy'?",
        ),
        (
            vec!["run", "commons", "--out", full, "--headless"],
            "not empty",
        ),
        (
            vec!["run", "commons", "--agent", "nonsense", "--headless"],
            "there is no '='",
        ),
        (
            vec!["run", "commons", "--set", "harvester=3", "--headless"],
            "harvesters",
        ),
        (
            vec!["run", "commons", "--set", "harvesters=lots", "--headless"],
            "harvesters",
        ),
        (
            vec!["run", "commons", "--hz", "nan", "--headless"],
            "0.01 to 1000",
        ),
        (
            vec!["run", "commons", "--deadline", "soon", "--headless"],
            "200ms",
        ),
    ] {
        let output = formicarium(&args)
            .current_dir(&folder.0)
            .output()
            .expect("the host starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }
    assert!(std::path::Path::new(full).join("precious").is_file());
}

#[test]
fn check_names_every_fault_with_its_place() {
    let folder = Folder::new("check");
    folder.write(
        "scenario.toml",
        "format = 1\nname = \"broken\"\ntitle = \"t\"\nsummary = \"s\"\n\n[time]\nmoed = \"lockstep\"\nticks = -3\n\n\
         [space]\nkind = \"grid\"\nmap = \"map.txt\"\n\n[space.legend]\n\".\" = \"\"\n\n[[seat]]\nname = \"a\"\nspawn = \"home\"\n",
    );
    folder.write("map.txt", "...\n.X.\n");
    folder.write("casts/bad.toml", "format = 1\n[[seat]]\nmatch = \"*\"\nagnet = \"builtin:noop\"\nready = \"soon\"\ncommand = \"x\"\n");
    let output = output(&["check", folder.0.to_str().expect("UTF-8")]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for words in [
        "scenario.toml:7:1",
        "did you mean `mode`?",
        "scenario.toml:8:",
        "map.txt:2:2",
        "casts/bad.toml:4:1",
        "casts/bad.toml:5:",
    ] {
        assert!(errors.contains(words), "{words} is not in:\n{errors}");
    }
}

#[test]
fn the_shipped_scenarios_are_good() {
    for scenario in [
        "commons",
        "axelrod",
        "scenarios/commons",
        "scenarios/axelrod",
    ] {
        let output = output(&["check", scenario]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn an_interrupt_ends_the_run_cleanly() {
    let folder = Folder::new("interrupt");
    let out = folder.path("run");
    let mut live = Live::start(
        &out,
        &[
            "scenarios/commons",
            "--cast",
            "greedy",
            "--mode",
            "realtime",
            "--hz",
            "50",
            "--ticks",
            "0",
        ],
    );
    live.until("SELECT count(*) FROM inputs", 20);
    live.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(live.wait(), Some(0));
    let end = &query_text(&out, "SELECT value FROM meta WHERE key = 'end'")[0];
    assert!(end.contains("interrupted"), "{end}");
    assert_replays(&out);
}

#[test]
fn runs_lists_recordings() {
    let folder = Folder::new("runs");
    run(
        &folder.path("one"),
        &[
            "scenarios/commons",
            "--agent",
            "*=builtin:noop",
            "--ticks",
            "3",
        ],
    );
    let output = output(&["runs", folder.0.to_str().expect("UTF-8"), "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (rows[0]["scenario"].as_str(), rows[0]["ticks"].as_u64()),
        (Some("commons"), Some(3)),
        "{rows}"
    );
}

#[test]
fn realtime_keeps_its_beat() {
    let folder = Folder::new("beat");
    let out = folder.path("run");
    run(
        &out,
        &[
            "scenarios/commons",
            "--cast",
            "greedy",
            "--mode",
            "realtime",
            "--hz",
            "40",
            "--ticks",
            "80",
        ],
    );
    // Ticks are never made ahead of the beat; how far behind depends on the machine.
    let last = crate::host::query_int(&out, "SELECT at_us / 1000 FROM ticks WHERE tick = 80");
    assert!(
        last >= 80 * 25 - 25,
        "80 ticks at 40 Hz were over after {last} ms"
    );
}

#[test]
fn the_escape_suite_runs_on_this_machine() {
    let output = output(&["doctor", "--attack", "file.w"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let last = text.lines().last().expect("a line");
    let words: Vec<&str> = last.split(' ').collect();
    assert_eq!(
        (words[0], words[2], words[6..].join(" ").as_str()),
        ("cases", "held", "failed 0"),
        "{last}"
    );
    assert!(words[1].parse::<usize>().expect("a number") > 0, "{last}");
    let output = crate::host::output(&["doctor", "--attack", "no-such-case"]);
    assert_eq!(output.status.code(), Some(2));
}
