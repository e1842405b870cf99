//! The control door, by a client that has only read docs/control.md: who comes in, what is answered, and that all of it
//! stands in the recording, replays, and is what a resumed run goes on with.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::host::{
    Folder, Live, assert_replays, assert_verifies, output, query_int, query_text, wait_for,
};

/// Waits, remembers how often, writes it down, and tells as its thought what it was told and whether it can read the pass.
const AGENT: &str = r#"
import json, os, sys
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        state = m["remembered"] or {"n": 0}
        print(json.dumps({"type": "ready"}), flush=True)
    elif m["type"] == "observe":
        state["n"] += 1
        with open("notes.txt", "a") as file:
            file.write("x")
        try:
            readable = bool(open(sys.argv[1]).read())
        except OSError:
            readable = False
        told = [r["reason"] for r in m["results"] if r["code"] == "told"]
        seen = {"n": state["n"], "notes": len(open("notes.txt").read()), "told": told, "readable": readable,
            "environ": [k for k, v in os.environ.items() if len(v) == 32]}
        print(json.dumps({"type": "remember", "state": state}))
        print(json.dumps({"type": "act", "tick": m["tick"], "actions": [], "thought": json.dumps(seen)}), flush=True)
    elif m["type"] == "end":
        break
"#;

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

/// One request as it stands; nothing is added.
fn raw(live: &Live, request: &str) -> Answer {
    let mut stream = TcpStream::connect(live.address()).expect("the host listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body:?}")),
    }
}

fn with(live: &Live, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.0\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw(live, &request)
}

fn pass(live: &Live) -> Value {
    let text = std::fs::read_to_string(live.out.join("control.json")).expect("the pass");
    serde_json::from_str(&text).expect("JSON")
}

fn headers(live: &Live) -> String {
    let token = pass(live)["token"].as_str().expect("a token").to_owned();
    format!(
        "Host: {}\r\nAuthorization: Bearer {token}\r\n",
        live.address()
    )
}

fn ask(live: &Live, method: &str, path: &str, body: &str) -> Answer {
    with(live, method, path, &headers(live), body)
}

/// A request that is done; its answer.
fn post(live: &Live, path: &str, body: &Value) -> Value {
    let answer = ask(live, "POST", path, &body.to_string());
    assert!(
        (200..300).contains(&answer.status),
        "{path}: {}",
        answer.body
    );
    answer.body
}

fn status(live: &Live) -> Value {
    let answer = ask(live, "GET", "/control/status", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn tick(live: &Live) -> u64 {
    status(live)["tick"].as_u64().expect("a tick")
}

fn wait_for_tick(live: &Live, least: u64) {
    wait_for(&format!("tick {least}"), || tick(live) >= least);
}

/// A run without end: one seat of a process, the others random; paused before its first tick.
fn start(folder: &Folder, isolation: &str) -> Live {
    let out = folder.path("run");
    let agent = folder.write("agent.py", AGENT);
    let agent = format!(
        "harvester-1=python3 {} {}",
        agent.display(),
        out.join("control.json").display()
    );
    let live = Live::start(
        &out,
        &[
            "scenarios/commons",
            "--agent",
            &agent,
            "--agent",
            "*=builtin:random",
            "--paused",
            "--ticks",
            "0",
            "--seed",
            "3",
            "--deadline",
            "60s",
            "--isolation",
            isolation,
        ],
    );
    // An answer means that the pause, which was asked for before, stands.
    assert_eq!(status(&live)["paused"], true);
    live
}

fn stop(live: &mut Live) {
    post(live, "/control/stop", &json!({}));
    assert_eq!(live.wait(), Some(0));
    assert!(!live.out.join("control.json").exists(), "the pass stays");
}

/// What the process at harvester-1 saw, in order.
fn seen(run: &Path) -> Vec<Value> {
    query_text(
        run,
        "SELECT text FROM notes WHERE kind = 'thought' ORDER BY id",
    )
    .iter()
    .map(|text| serde_json::from_str(text).expect("JSON"))
    .collect()
}

#[test]
fn only_the_operator_comes_in() {
    let folder = Folder::new("control-token");
    let mut live = start(&folder, "advisory");
    let file = std::fs::metadata(live.out.join("control.json")).expect("the pass");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(pass(&live)["address"], live.address());

    let host = format!("Host: {}\r\n", live.address());
    let get = |headers: &str| with(&live, "GET", "/control/status", headers, "");
    for wrong in [
        host.clone(),
        format!("{host}Authorization: Bearer \r\n"),
        format!("{host}Authorization: Bearer {}\r\n", live.token()),
        headers(&live).replace("Bearer", "Basic"),
        headers(&live)
            .replace("\r\n", "")
            .replace("Authorization", "\r\nAuthorization")
            + "0\r\n",
    ] {
        let answer = get(&wrong);
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (401, &json!("unauthorized")),
            "{wrong}"
        );
        assert!(
            answer.head.contains("www-authenticate: bearer"),
            "{}",
            answer.head
        );
    }
    let right = headers(&live);
    for foreign in [
        right.replace("127.0.0.1", "example.org"),
        format!("{right}Origin: http://example.org\r\n"),
        format!("{right}Origin: null\r\n"),
    ] {
        let answer = get(&foreign);
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (403, &json!("foreign")),
            "{foreign}"
        );
    }
    let same = format!("{right}Origin: http://{}\r\n", live.address());
    let answer = get(&same);
    assert_eq!(answer.status, 200);
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    // Nothing was done for them.
    assert_eq!(with(&live, "POST", "/control/stop", &host, "").status, 401);
    assert_eq!(status(&live)["paused"], true);
    stop(&mut live);
}

#[test]
fn what_cannot_be_done_says_why() {
    let folder = Folder::new("control-refusals");
    let mut live = start(&folder, "advisory");
    let long = json!({"seat": "harvester-1", "text": "x".repeat(70_000)}).to_string();
    let many = json!({"seat": "harvester-1", "text": "x".repeat(20_000)}).to_string();
    for (method, path, body, code, error, words) in [
        (
            "GET",
            "/control/nothing",
            "",
            404,
            "unknown-path",
            "/control/nothing",
        ),
        (
            "GET",
            "/control",
            "",
            404,
            "unknown-path",
            "/control/status",
        ),
        ("GET", "/control/stop", "", 405, "wrong-method", "POST"),
        ("POST", "/control/status", "", 405, "wrong-method", "GET"),
        (
            "POST",
            "/control/say",
            "",
            400,
            "bad-body",
            "line 1 column 0",
        ),
        (
            "POST",
            "/control/say",
            "{\"seat\": 3}",
            400,
            "bad-body",
            "column 10",
        ),
        (
            "POST",
            "/control/say",
            "{\"seat\": \"a\", \"to\": 1}",
            400,
            "bad-body",
            "unknown field `to`",
        ),
        ("POST", "/control/say", &long, 413, "too-large", "65536"),
        ("POST", "/control/say", &many, 422, "invalid", "16384"),
        (
            "POST",
            "/control/say",
            "{\"seat\": \"nobody\", \"text\": \"a\"}",
            404,
            "unknown",
            "harvester-8",
        ),
        (
            "POST",
            "/control/set",
            "{\"name\": \"timeot\", \"value\": \"1\"}",
            422,
            "invalid",
            "timeot",
        ),
        (
            "POST",
            "/control/set",
            "{\"name\": \"timeout\", \"value\": \"-1\"}",
            422,
            "invalid",
            "-1",
        ),
        (
            "POST",
            "/control/set",
            "{\"name\": \"harvesters\", \"value\": \"9\"}",
            422,
            "invalid",
            "other seats",
        ),
        (
            "POST",
            "/control/swap",
            "{\"seat\": \"x\", \"agent\": \"builtin:noop\"}",
            404,
            "unknown",
            "harvester-1",
        ),
        (
            "POST",
            "/control/swap",
            "{\"seat\": \"harvester-2\", \"agent\": \"builtin:x\"}",
            422,
            "invalid",
            "noop",
        ),
        (
            "POST",
            "/control/swap",
            "{\"seat\": \"harvester-2\", \"agent\": \"cat\"}",
            409,
            "conflict",
            "resume RUN --agent",
        ),
        (
            "POST",
            "/control/step",
            "{\"ticks\": 0}",
            422,
            "invalid",
            "1 to",
        ),
    ] {
        let answer = ask(&live, method, path, body);
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert_eq!(
            (answer.status, answer.body["error"].as_str()),
            (code, Some(error)),
            "{path} {message}"
        );
        assert!(message.contains(words), "{path}: {message}");
    }
    assert_eq!(tick(&live), 0);
    post(&live, "/control/resume", &json!({}));
    wait_for_tick(&live, 1);
    let answer = ask(&live, "POST", "/control/step", "");
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (409, &json!("conflict"))
    );
    stop(&mut live);
    // None of it has entered the run.
    let told = "SELECT count(*) FROM inputs WHERE instr(body, 'told') OR instr(body, '\"set\":[[') OR instr(body, 'seated')";
    assert_eq!(query_int(&live.out, told), 0);
    assert_verifies(&live.out);
}

#[test]
fn words_parameters_and_steps_stand_in_the_recording() {
    let folder = Folder::new("control-steps");
    let mut live = start(&folder, "advisory");
    assert_eq!(tick(&live), 0);
    assert_eq!(
        post(&live, "/control/step", &json!({"ticks": 3})),
        json!({"until": 3})
    );
    wait_for("the third tick", || status(&live)["paused"] == true);
    assert_eq!(tick(&live), 3);

    let set = json!({"name": "timeout", "value": "7"});
    assert_eq!(post(&live, "/control/set", &set), json!({"tick": 4}));
    let say = json!({"seat": "harvester-1", "text": "mind the apples"});
    assert_eq!(post(&live, "/control/say", &say), json!({"tick": 4}));
    let before = status(&live);
    assert_eq!(
        (&before["tick"], &before["parameters"]["timeout"]),
        (&json!(3), &json!(25))
    );
    post(&live, "/control/step", &json!({}));
    wait_for("the fourth tick", || status(&live)["paused"] == true);
    let after = status(&live);
    assert_eq!(
        (&after["tick"], &after["parameters"]["timeout"]),
        (&json!(4), &json!(7))
    );
    assert_eq!(after["seats"][0]["seat"], "harvester-1");
    assert_eq!(after["seats"][0]["status"], "playing");

    post(&live, "/control/resume", &json!({}));
    wait_for_tick(&live, 10);
    stop(&mut live);
    let told = seen(&live.out);
    let at: Vec<usize> = (0..told.len())
        .filter(|index| told[*index]["told"] == json!(["mind the apples"]))
        .collect();
    assert_eq!(at, [4], "told with the observation of tick 4, once");
    for (word, tick) in [("mind the apples", 4), ("timeout", 4)] {
        let sql = format!("SELECT tick FROM inputs WHERE instr(body, '{word}')");
        assert_eq!(query_int(&live.out, &sql), tick, "{word}");
    }
    assert_replays(&live.out);
    assert_verifies(&live.out);
}

#[test]
fn a_seat_gets_another_agent_and_a_resumed_run_has_it() {
    let folder = Folder::new("control-swap");
    let mut live = start(&folder, "advisory");
    post(&live, "/control/step", &json!({"ticks": 5}));
    wait_for("the fifth tick", || status(&live)["paused"] == true);
    // Its answer to that tick stands, whoever sits there when it is used.
    wait_for("its answer", || {
        status(&live)["seats"][0]["awaited"] == false
    });
    let swap = |seat: &str, agent: &str| {
        post(
            &live,
            "/control/swap",
            &json!({"seat": seat, "agent": agent}),
        )
    };
    assert_eq!(
        swap("harvester-1", "builtin:random"),
        json!({"tick": 6, "agent": "builtin:random"})
    );
    assert_eq!(
        swap("harvester-2", "builtin:noop"),
        json!({"tick": 6, "agent": "builtin:noop"})
    );
    let seats = &status(&live)["seats"];
    assert_eq!(
        (&seats[0]["agent"], &seats[0]["status"]),
        (&json!("builtin:random"), &json!("playing"))
    );
    post(&live, "/control/step", &json!({"ticks": 20}));
    wait_for("tick 25", || status(&live)["paused"] == true);
    stop(&mut live);
    let run = live.out.clone();
    assert_replays(&run);
    assert_verifies(&run);
    let count = |sql: &str| query_int(&run, sql);
    assert_eq!(
        count("SELECT count(*) FROM inputs WHERE instr(body, 'seated') AND tick = 6"),
        1
    );
    assert_eq!(
        count("SELECT count(*) FROM inputs WHERE instr(body, 'seated') AND tick != 6"),
        0
    );
    // The process answered ticks 0 to 5, and was never gone in the eyes of the world.
    assert_eq!(seen(&run).len(), 6);
    assert_eq!(
        count("SELECT count(*) FROM inputs WHERE instr(body, 'exited') OR instr(body, 'late')"),
        0
    );

    // Whoever resumes it seats what sits there now, and can put a process there that finds files and memory.
    let folder_text = run.to_str().expect("UTF-8");
    let go_on = |more: &[&str]| {
        let done = output(&[&["resume", folder_text, "--headless", "--json"], more].concat());
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    go_on(&["--ticks", "30"]);
    let meta: Value =
        serde_json::from_str(&query_text(&run, "SELECT value FROM meta WHERE key = 'run'")[0])
            .expect("JSON");
    assert_eq!(meta["seats"][0]["agent"], "builtin:random");
    assert_eq!(meta["seats"][1]["agent"], "builtin:noop");
    assert_eq!(seen(&run).len(), 6, "a process has come back");
    let agent = format!(
        "harvester-1=python3 {} none",
        folder.path("agent.py").display()
    );
    go_on(&["--ticks", "33", "--agent", &agent]);
    let last = seen(&run).pop().expect("thoughts");
    assert_eq!(
        (&last["n"], &last["notes"]),
        (&json!(9), &json!(9)),
        "{last}"
    );
    assert_replays(&run);
    assert_verifies(&run);
}

#[test]
fn seats_cannot_read_the_pass() {
    // As the machine can: users of their own only as root.
    let levels: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &["landlock", "uid"],
        false => &["landlock"],
    };
    for level in levels {
        let folder = Folder::new("control-pass");
        let mut live = start(&folder, level);
        post(&live, "/control/step", &json!({"ticks": 2}));
        wait_for("the second tick", || status(&live)["paused"] == true);
        let token = pass(&live)["token"].as_str().expect("a token").to_owned();
        assert_eq!(
            crate::host::processes_with(&token),
            [] as [i32; 0],
            "{level}"
        );
        stop(&mut live);
        let seen = seen(&live.out);
        assert!(seen.len() >= 2, "{level}");
        assert!(
            seen.iter().all(|one| one["readable"] == false),
            "{level}: {seen:?}"
        );
    }
}

#[test]
fn the_command_line_asks_the_same() {
    let folder = Folder::new("control-cli");
    let mut live = start(&folder, "advisory");
    let run = live.out.to_str().expect("UTF-8").to_owned();
    let control = |args: &[&str]| {
        let done = output(&[&["control", &run], args].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let good = |args: &[&str]| -> Value {
        let (status, out, err) = control(args);
        assert_eq!(status, Some(0), "{args:?}: {err}");
        serde_json::from_str(&out).expect("JSON")
    };
    assert_eq!(good(&["status"])["tick"], 0);
    assert_eq!(good(&["say", "harvester-1", "hello"]), json!({"tick": 1}));
    assert_eq!(good(&["set", "timeout=3"]), json!({"tick": 1}));
    assert_eq!(good(&["swap", "harvester-2=builtin:noop"])["tick"], 1);
    assert_eq!(good(&["step", "2"]), json!({"until": 2}));
    wait_for("the second tick", || good(&["status"])["paused"] == true);
    assert_eq!(good(&["resume"])["paused"], false);
    assert_eq!(good(&["pause"])["paused"], true);
    let (status, _, errors) = control(&["set", "timeout=-3"]);
    assert_eq!(status, Some(2));
    assert!(
        errors.contains("timeout") && errors.contains("422"),
        "{errors}"
    );
    assert_eq!(good(&["stop"]), json!({"stopping": true}));
    assert_eq!(live.wait(), Some(0));
    let (status, _, errors) = control(&["status"]);
    assert_eq!(status, Some(2));
    assert!(errors.contains("control.json"), "{errors}");
    assert_replays(&live.out);
}
