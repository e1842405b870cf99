//! The machine against scripted conversations: what goes to the program, to the host and to the driver.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::protocol::{End, Observe};

fn plan(turn: Turn) -> ClaudePlan {
    ClaudePlan {
        session: "11111111-2222-4333-8444-555555555555".into(),
        has_session: false,
        fork_of: None,
        model: Some("m".into()),
        effort: None,
        turn,
        max_turns: 9,
        system: Some("Play.".into()),
        full: false,
        allow: vec!["Read".into(), "Bash*".into()],
        settings: None,
        model_door: Some(("http://127.0.0.1:1".into(), "token".into())),
        stall_ms: 5000,
    }
}

fn hello() -> Hello {
    serde_json::from_value(json!({
        "protocol": 1, "run": "r", "scenario": {"name": "s", "title": "S"}, "seat": "a", "role": "", "rules": "",
        "actions": [{"name": "move", "description": "go", "parameters": {"type": "object"}},
                    {"name": "say", "description": "speak", "parameters": {"type": "object"}}],
        "limits": {"actions": 1, "speech": 1, "speech_chars": 500, "thought_chars": 2000, "log_chars": 2000,
            "remember_bytes": 16384, "line_bytes": 1048576},
        "time": {"mode": "lockstep", "deadline_ms": 10, "hz": null, "ticks": 9}, "remembered": null,
    }))
    .unwrap()
}

/// A conversation, written down as it goes.
struct Talk {
    claude: Claude,
    said: String,
}

impl Talk {
    fn new(turn: Turn) -> Self {
        let mut talk = Self {
            claude: Claude::new(plan(turn)),
            said: String::new(),
        };
        talk.tell(ToAgent::Hello(Box::new(hello())));
        talk.hear(json!({"type": "control_response", "response": {"subtype": "success", "request_id": "initialize"}}));
        talk.said.clear();
        talk
    }

    fn note(said: &mut String, output: Output) {
        let line = match output {
            Output::Line(line) => {
                let value: Value = serde_json::from_slice(&line).unwrap();
                let mut text = format!("to it: {value}");
                // What is always the same in answers about tools.
                if let Some(reply) = value["response"]["response"].get("mcp_response") {
                    text = format!("to it: {} {reply}", value["response"]["request_id"]);
                }
                text
            }
            Output::Message(message) => {
                format!("act: {}", serde_json::to_string(&message).unwrap())
            }
            Output::Fault(fault) => format!("fault: {fault}"),
            Output::GiveUp(fault) => format!("give up: {fault}"),
            Output::Cost(cost) => {
                format!("cost: {} {} {}", cost.model, cost.input_tokens, cost.usd)
            }
            Output::ToolLine(..) => panic!("Claude Code has no tool socket"),
            Output::Alarm(ms) => format!("alarm: {ms:?}"),
            Output::Transcript(line) => {
                format!("transcript: {} {:?}", line.kind.as_str(), line.text)
            }
        };
        said.push_str(&line);
        said.push('\n');
    }

    fn hear(&mut self, line: Value) {
        let said = &mut self.said;
        let bytes = format!("{line}\n");
        self.claude
            .read(bytes.as_bytes(), &mut |output| Self::note(said, output));
    }

    fn tell(&mut self, message: ToAgent) {
        let said = &mut self.said;
        self.claude
            .tell(message, &mut |output| Self::note(said, output));
    }

    fn observe(&mut self, tick: u64) {
        self.tell(ToAgent::Observe(Observe {
            tick,
            deadline_ms: 10,
            bank_ms: None,
            text: format!("Tick {tick}."),
            state: Value::Null,
            heard: Vec::new(),
            results: Vec::new(),
        }));
    }

    /// The program calls a tool of the seat.
    fn call(&mut self, id: &str, name: &str, args: Value) {
        self.hear(json!({"type": "control_request", "request_id": id, "request": {"subtype": "mcp_message",
            "server_name": "world", "message": {"jsonrpc": "2.0", "id": 7, "method": "tools/call",
                "params": {"name": name, "arguments": args}}}}));
    }

    fn result(&mut self, subtype: &str, more: Value) {
        let mut line = json!({"type": "result", "subtype": subtype, "is_error": false, "result": "bye",
            "modelUsage": {"m": {"inputTokens": 10, "costUSD": 0.5}}});
        line.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.hear(line);
    }

    /// What came out since the last time.
    fn check(&mut self, expected: Expect) {
        expected.assert_eq(&std::mem::take(&mut self.said));
    }
}

#[test]
fn a_tick_is_one_call_and_the_held_answer_is_the_next_observation() {
    let mut talk = Talk::new(Turn::Continuous);
    talk.observe(0);
    talk.check(expect![[r#"
        to it: {"message":{"content":"Tick 0.","role":"user"},"type":"user"}
        alarm: Some(5000)
    "#]]);
    talk.hear(
        json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "north"}]}}),
    );
    talk.call("q1", "say", json!({"text": "hi"}));
    talk.call("q2", "move", json!({"dir": "north"}));
    talk.call("q3", "move", json!({"dir": "north"}));
    talk.check(expect![[r#"
        transcript: text "north"
        alarm: Some(5000)
        act: {"type":"act","tick":0,"actions":[{"name":"say","args":{"text":"hi"}}],"thought":"north"}
        to it: "q1" {"id":7,"jsonrpc":"2.0","result":{"content":[{"text":"Said: it is heard at the end of this tick. You may still act.","type":"text"}],"isError":false}}
        alarm: Some(5000)
        act: {"type":"act","tick":0,"actions":[{"name":"move","args":{"dir":"north"}}]}
        alarm: None
        to it: "q3" {"id":7,"jsonrpc":"2.0","result":{"content":[{"text":"you have used your actions of this tick; wait for the next observation","type":"text"}],"isError":true}}
        alarm: None
    "#]]);
    talk.observe(1);
    talk.check(expect![[r#"
        to it: "q2" {"id":7,"jsonrpc":"2.0","result":{"content":[{"text":"Tick 1.","type":"text"}],"isError":false}}
        alarm: Some(5000)
    "#]]);
    // A turn that ends without an action passes, and the next observation begins another.
    talk.result("success", json!({}));
    talk.observe(2);
    talk.check(expect![[r#"
        transcript: result "success"
        cost: m 10 0.5
        act: {"type":"act","tick":1,"actions":[]}
        alarm: None
        to it: {"message":{"content":"Tick 2.","role":"user"},"type":"user"}
        alarm: Some(5000)
    "#]]);
    // A full turn goes on in a new one at once; totals that did not change cost nothing.
    talk.result("error_max_turns", json!({"is_error": true}));
    talk.check(expect![[r#"
        transcript: result "error_max_turns"
        to it: {"message":{"content":"Tick 2.","role":"user"},"type":"user"}
        alarm: Some(5000)
    "#]]);
}

#[test]
fn a_message_is_never_sent_in_a_turn_and_late_acts_count_for_the_open_tick() {
    let mut talk = Talk::new(Turn::Continuous);
    talk.observe(0);
    talk.said.clear();
    talk.observe(1);
    talk.observe(2);
    talk.call("q", "move", json!({}));
    talk.check(expect![[r#"
        alarm: Some(5000)
        alarm: Some(5000)
        act: {"type":"act","tick":2,"actions":[{"name":"move","args":{}}]}
        alarm: None
    "#]]);
}

#[test]
fn per_tick_a_turn_ends_with_its_tick() {
    let mut talk = Talk::new(Turn::PerTick);
    talk.observe(0);
    talk.said.clear();
    talk.call("q", "move", json!({}));
    talk.result("success", json!({}));
    talk.observe(1);
    talk.check(expect![[r#"
        act: {"type":"act","tick":0,"actions":[{"name":"move","args":{}}]}
        to it: "q" {"id":7,"jsonrpc":"2.0","result":{"content":[{"text":"Done. Your tick is over: end your turn now; the next observation comes as a message.","type":"text"}],"isError":false}}
        alarm: Some(5000)
        transcript: result "success"
        cost: m 10 0.5
        alarm: None
        to it: {"message":{"content":"Tick 1.","role":"user"},"type":"user"}
        alarm: Some(5000)
    "#]]);
}

#[test]
fn a_silent_turn_is_interrupted_and_then_given_up() {
    let mut talk = Talk::new(Turn::Continuous);
    talk.observe(0);
    talk.said.clear();
    for _ in 0..2 {
        let said = &mut talk.said;
        talk.claude.alarm(&mut |output| Talk::note(said, output));
    }
    talk.check(expect![[r#"
        fault: stalled (fault of the machine): its turn was silent for 5000 ms and was interrupted; the model or the way to it is slow; it passes this tick
        to it: {"request":{"subtype":"interrupt"},"request_id":"host-1","type":"control_request"}
        act: {"type":"act","tick":0,"actions":[]}
        alarm: Some(10000)
        give up: stalled (fault of the agent): it did not end its turn after an interrupt; its process is ended
    "#]]);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let mut talk = Talk::new(Turn::Continuous);
    talk.observe(0);
    talk.said.clear();
    talk.hear(
        json!({"type": "system", "subtype": "init", "claude_code_version": "3.0.1",
        "mcp_servers": [{"name": "world", "status": "failed"}]}),
    );
    for attempt in 1..3 {
        talk.hear(
            json!({"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": 10,
            "error_status": 529, "error": "overloaded"}),
        );
    }
    talk.result(
        "success",
        json!({"is_error": true, "api_error_status": 401, "result": "Invalid API key"}),
    );
    talk.hear(json!({"type": "control_request", "request_id": "p1", "request": {"subtype": "can_use_tool", "tool_name": "Write", "input": {}}}));
    talk.hear(json!({"type": "control_request", "request_id": "p2", "request": {"subtype": "can_use_tool", "tool_name": "BashOutput", "input": {"a": 1}}}));
    talk.hear(json!({"type": "control_request", "request_id": "p3", "request": {"subtype": "hook_callback"}}));
    let said = &mut talk.said;
    talk.claude
        .read(b"Oops\n", &mut |output| Talk::note(said, output));
    talk.check(expect![[r#"
        transcript: other ""
        fault: model-error (fault of the agent): its tool server "world" is failed: it cannot act; start the run again
        fault: untested-version (fault of the machine): Claude Code 3.0.1 is outside the tested range 2.1 to below 2.2: it may behave differently; install a tested version (make agents)
        alarm: Some(5000)
        transcript: other ""
        fault: model-error (fault of the machine): the model answered 529 overloaded (attempt 1 of 10; the program tries again by itself); the provider is overloaded; it passes by itself
        alarm: Some(5000)
        transcript: other ""
        alarm: Some(5000)
        transcript: result "success"
        cost: m 10 0.5
        fault: model-error (fault of the machine): its turn ended in an error (success): 401 Invalid API key; it passes this tick and tries again with the next; set ANTHROPIC_API_KEY for the host to a valid key
        act: {"type":"act","tick":0,"actions":[]}
        alarm: None
        to it: {"response":{"request_id":"p1","response":{"behavior":"deny","message":"Write is not allowed for this seat; go on without it"},"subtype":"success"},"type":"control_response"}
        alarm: None
        to it: {"response":{"request_id":"p2","response":{"behavior":"allow","updatedInput":{"a":1}},"subtype":"success"},"type":"control_response"}
        alarm: None
        to it: {"response":{"error":"this host does not know the request \"hook_callback\"","request_id":"p3","subtype":"error"},"type":"control_response"}
        alarm: None
        fault: garbage (fault of the agent): a line of the agent's program is not JSON (expected value at line 1 column 1): "Oops"; it was dropped; if it comes again, try another version of the program
    "#]]);
}

#[test]
fn at_the_end_the_turn_is_interrupted_before_the_held_call_is_answered() {
    let mut talk = Talk::new(Turn::Continuous);
    talk.observe(0);
    talk.call("q", "wait", json!({}));
    talk.said.clear();
    talk.tell(ToAgent::End(End {
        reason: "over".into(),
        score: 2.0,
        tick: 1,
    }));
    talk.check(expect![[r#"
        to it: {"request":{"subtype":"interrupt"},"request_id":"host-1","type":"control_request"}
        to it: "q" {"id":7,"jsonrpc":"2.0","result":{"content":[{"text":"The run is over: over. Your score: 2.","type":"text"}],"isError":false}}
        alarm: Some(5000)
    "#]]);
}

#[test]
fn a_process_that_is_started_again_resumes_its_session() {
    let at = Workspace {
        root: "/s".into(),
        workspace: "/s/workspace".into(),
        home: "/s/home".into(),
        tmp: "/s/tmp".into(),
        program: "/s/program".into(),
        stderr: "/s/stderr.log".into(),
    };
    let mut talk = Talk::new(Turn::Continuous);
    let words = |launch: &Launch| {
        let words: Vec<_> = launch
            .args
            .iter()
            .map(|arg| arg.to_string_lossy())
            .collect();
        words.join(" ")
    };
    let first = talk.claude.start(&at);
    assert!(words(&first).contains("--session-id 11111111"), "{first:?}");
    assert!(
        !words(&first).contains("token") && !words(&first).contains("Play."),
        "argv is readable by all"
    );
    let has = |name: &str, value: &str| first.env.iter().any(|(n, v)| n == name && v == value);
    assert!(has("ANTHROPIC_API_KEY", "token") && has("CLAUDE_CONFIG_DIR", "/s/home/.claude"));
    talk.tell(ToAgent::Hello(Box::new(hello())));
    talk.hear(json!({"type": "control_response", "response": {"subtype": "success", "request_id": "initialize"}}));
    talk.observe(0);
    talk.hear(json!({"type": "system", "subtype": "init", "claude_code_version": "2.1.9", "mcp_servers": []}));
    assert!(words(&talk.claude.start(&at)).contains("--resume 11111111"));
}
