//! The workshop: whatever the schedule, nobody's line is lost, the book is whole in the end, and what the casts are named
//! for is what happens.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::host::{Folder, assert_replays, copy, output, query_int, query_text, root, run};

fn play(folder: &Folder, more: &[&str]) -> std::path::PathBuf {
    let out = folder.path("run");
    let summary = run(&out, &[&["scenarios/workshop"], more].concat());
    for seat in summary["seats"].as_array().expect("seats") {
        assert_eq!(seat["trouble"], Value::Null, "{summary}");
    }
    assert_replays(&out);
    // The last report is that of the book as it is.
    let broken = "SELECT CAST(value AS INTEGER) FROM metrics WHERE name = 'broken' ORDER BY tick DESC LIMIT 1";
    assert_eq!(query_int(&out, broken), 0);
    let at_first = "SELECT CAST(max(value) AS INTEGER) FROM metrics WHERE name = 'broken'";
    assert!(query_int(&out, at_first) > 0, "the build can fail");
    out
}

fn metric(out: &Path, name: &str) -> i64 {
    query_int(
        out,
        &format!(
            "SELECT CAST(value AS INTEGER) FROM metrics WHERE name = '{name}' ORDER BY tick DESC LIMIT 1"
        ),
    )
}

fn build(book: &Path, more: &[&str]) -> Output {
    Command::new("python3")
        .arg(book.join("build.py"))
        .args(more)
        .output()
        .expect("Python")
}

/// Each writer's line stands in the table of contents once, in its part, in its last of so many drafts; the build is content.
fn is_whole(out: &Path, writers: usize, drafts: i64) {
    let book = out.join("shared");
    let toc = fs::read_to_string(book.join("toc.md")).expect("the table of contents");
    let (one, two) = toc.split_once("<!-- end of part one -->").expect("parts");
    for n in 1..=writers {
        let seat = format!("writer-{n}");
        let line = format!("- [Chapter {n} by {seat}, draft {drafts}](chapters/{seat}.md)\n");
        let part = if n % 2 == 1 { one } else { two };
        assert_eq!(part.matches(&line).count(), 1, "{toc}");
        let link = format!("(chapters/{seat}.md)");
        assert_eq!(toc.matches(&link).count(), 1, "{toc}");
        let seat =
            format!("SELECT count(*) FROM versions WHERE seat = '{seat}' AND path = 'toc.md'");
        assert!(query_int(out, &seat) >= drafts, "each draft is a version");
    }
    let built = build(&book, &[]);
    let said = String::from_utf8_lossy(&built.stdout);
    assert!(built.status.success(), "{said}");
    assert!(
        said.contains(&format!("{} chapters, ", writers + 1)),
        "{said}"
    );
    // Of what was refused nothing is lost.
    let lost = "SELECT count(*) FROM refusals WHERE kept IS NOT NULL AND kept NOT IN (SELECT hash FROM contents)";
    assert_eq!(query_int(out, lost), 0);
}

#[test]
fn who_leases_nothing_collides_and_merges() {
    for level in ["uid", "landlock"] {
        if level == "uid" && !crate::desk::nix_is_root() {
            continue;
        }
        let folder = Folder::new(&format!("workshop-{level}"));
        let out = play(&folder, &["--isolation", level]);
        is_whole(&out, 4, 3);
        // At tick 1 writers 2 and 4 add a line at the same place, and writer 1 elsewhere, whoever is first.
        assert!(metric(&out, "conflicts") >= 1);
        assert!(metric(&out, "merges") >= 1);
        assert_eq!(metric(&out, "leased") + metric(&out, "leases"), 0);
        let kept = "SELECT CAST(body AS TEXT) FROM contents JOIN refusals ON kept = hash WHERE reason = 'conflict'";
        let kept = query_text(&out, kept);
        assert!(!kept.is_empty(), "what collided is kept");
        assert!(
            kept.iter().all(|text| text.contains(", draft ")),
            "{kept:?}"
        );
    }
}

#[test]
fn sixteen_writers_settle_too() {
    let folder = Folder::new("workshop-16");
    let out = play(&folder, &["--set", "writers=16", "--set", "ticks=48"]);
    is_whole(&out, 16, 5);
}

#[test]
fn the_shortest_run_is_whole_too() {
    let folder = Folder::new("workshop-too-short");
    let out = folder.path("run");
    let out = out.to_str().expect("UTF-8");
    let refused = output(&[
        "run",
        "scenarios/workshop",
        "--set",
        "ticks=5",
        "--headless",
        "--out",
        out,
    ]);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && words.contains("ticks"),
        "{words}"
    );
    for cast in ["contended", "leased"] {
        let folder = Folder::new(&format!("workshop-shortest-{cast}"));
        let out = play(&folder, &["--cast", cast, "--set", "ticks=6"]);
        is_whole(&out, 4, 1);
    }
}

/// A build says at each tick something else that no binder can use, and in the end counts.
const BAD_BUILD: &str = r#"
import os, sys, time
with open("built", "a") as built:
    built.write(".")
said = ["5", "{}", "null", '{"chapters": 1, "links": 1, "broken": NaN}', '{"chapters": -1, "links": true, "broken": 0}']
time_now = os.path.getsize("built") - 1
if time_now < len(said):
    print(said[time_now])
elif time_now == len(said):
    sys.stdout.buffer.write(b"\xff\xfe")
elif time_now == len(said) + 1:
    # Whatever it reads here, it is not the host's next message.
    print("[" * 100000, sys.stdin.read())
elif time_now == len(said) + 2:
    time.sleep(3600)
elif time_now == len(said) + 3:
    sys.exit("out of paper")
else:
    print('{"chapters": 7, "links": 8, "broken": 3, "by": "hand"}')
"#;

#[test]
fn the_binder_outlives_a_bad_build() {
    let folder = Folder::new("workshop-bad-build");
    let scenario = folder.path("scenario");
    copy(&root().join("scenarios/workshop"), &scenario);
    folder.write("scenario/book/build.py", BAD_BUILD);
    let out = folder.path("run");
    let more = "--set writers=1 --set ticks=12 --agent writer-*=builtin:noop";
    let mut args = vec![scenario.to_str().expect("UTF-8")];
    args.extend(more.split(' '));
    let summary = run(&out, &args);
    for seat in summary["seats"].as_array().expect("seats") {
        assert_eq!(seat["trouble"], Value::Null, "{summary}");
    }
    assert_replays(&out);
    assert_eq!((metric(&out, "chapters"), metric(&out, "broken")), (7, 3));
    let made = "SELECT count(*) FROM events WHERE name = 'report.made'";
    assert_eq!(query_int(&out, made), 1, "what is no count is not told");
    let thoughts = query_text(&out, "SELECT text FROM notes WHERE kind = 'thought'");
    for why in ["does not end within", "out of paper"] {
        let told = |text: &String| text.starts_with("the build does not run") && text.contains(why);
        assert!(thoughts.iter().any(told), "{why} is not in {thoughts:?}");
    }
}

#[test]
fn who_leases_waits_and_nobody_collides() {
    let folder = Folder::new("workshop-leased");
    let out = play(&folder, &["--cast", "leased"]);
    is_whole(&out, 4, 3);
    assert_eq!(metric(&out, "conflicts") + metric(&out, "merges"), 0);
    assert_eq!(
        metric(&out, "leases"),
        12,
        "one for each draft of each writer"
    );
    let without = "SELECT count(*) FROM versions WHERE path = 'toc.md' AND seat IS NOT NULL AND token IS NULL";
    assert_eq!(
        query_int(&out, without),
        0,
        "each is published under its lease"
    );
}

#[test]
fn the_build_names_what_is_wrong() {
    let folder = Folder::new("workshop-build");
    let book = folder.path("book");
    copy(&root().join("scenarios/workshop/book"), &book);
    let said = |more: &[&str]| {
        let built = build(&book, more);
        let said = String::from_utf8_lossy(&built.stdout).into_owned();
        (built.status.code(), said)
    };
    let counts = "{\"chapters\": 1, \"links\": 1, \"broken\": 0}\n";
    let page = folder.path("page.md");
    let out = page.to_str().expect("UTF-8");
    assert_eq!(said(&["--json", "--out", out]), (Some(0), counts.into()));
    let page = fs::read_to_string(page).expect("the page");
    assert!(page.starts_with("# Preface\n"), "{page}");

    let toc = fs::read_to_string(book.join("toc.md")).expect("there");
    let twice = toc.replace(
        "<!-- end of part two -->",
        "- [P](chapters/preface.md) and [N](chapters/nobody.md)",
    );
    let long = format!("chapters/{}.md", "a".repeat(300));
    let twice = format!("{twice}[out](../page.md) [folder](chapters/folder.md) [long]({long})\n");
    fs::create_dir(book.join("chapters/folder.md")).expect("a folder");
    fs::write(book.join("toc.md"), twice).expect("written");
    fs::write(
        book.join("chapters/lost.md"),
        "no title\n[x](../toc.md#a) [y](https://example.org)\n",
    )
    .expect("written");
    let (code, words) = said(&[]);
    assert_eq!(code, Some(1));
    for line in [
        "toc.md:10: the link chapters/nobody.md leads nowhere\n",
        "toc.md:11: the link ../page.md leads nowhere\n",
        "toc.md:11: the link chapters/folder.md leads nowhere\n",
        &format!("toc.md:11: the link {long} leads nowhere\n"),
        "chapters/preface.md:1: it stands in the table of contents 2 times, not once\n",
        "chapters/lost.md:1: it stands in the table of contents 0 times, not once\n",
        "chapters/lost.md:1: its first line is no title (# Title)\n",
        "1 chapters, 7 links, 7 broken\n",
    ] {
        assert!(words.contains(line), "{line:?} is not in {words}");
    }
}
