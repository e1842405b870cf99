//! The machine over scripted lines: what the host, the agent and its tool connections say, and what comes out.

use std::path::PathBuf;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::protocol::{ActionSpec, End, Limits, Observe, ScenarioName, Time, TimeMode};

/// A seat with its machine, and all that came out, in words.
struct Seat {
    acp: Acp,
    said: String,
}

fn plan() -> AcpPlan {
    AcpPlan {
        bridge: vec!["/bin/host".into(), "bridge".into()],
        prompt: Some("Play well.".into()),
        allow: vec!["Read".into(), "Web*".into(), "kind:search".into()],
        model_door: Some(("http://door".into(), "secret-token".into())),
        stall_ms: 5000,
        ..AcpPlan::default()
    }
}

fn hello(remembered: Option<Value>) -> ToAgent {
    let action = |name: &str| ActionSpec {
        name: name.into(),
        description: String::new(),
        parameters: json!({"type": "object"}),
    };
    ToAgent::Hello(Box::new(Hello {
        protocol: 1,
        run: "r".into(),
        scenario: ScenarioName {
            name: "s".into(),
            title: "S".into(),
        },
        seat: "a".into(),
        role: "Eat.".into(),
        rules: "None.".into(),
        actions: vec![action("move"), action("say")],
        limits: Limits::default(),
        questions: Vec::new(),
        files: None,
        time: Time {
            mode: TimeMode::Lockstep,
            deadline_ms: 1,
            hz: None,
            ticks: 9,
            bank: None,
            think: None,
        },
        remembered,
        resumed: None,
    }))
}

impl Seat {
    fn new(plan: AcpPlan) -> Self {
        let mut seat = Seat {
            acp: Acp::new(plan),
            said: String::new(),
        };
        seat.start();
        seat
    }

    fn start(&mut self) {
        let root = PathBuf::from("/run/agents/a");
        self.acp.start(&Workspace {
            workspace: root.join("workspace"),
            home: root.join("home"),
            tmp: root.join("tmp"),
            program: root.join("program"),
            stderr: root.join("stderr.log"),
            root,
        });
    }

    fn with(&mut self, use_it: impl FnOnce(&mut Acp, &mut dyn FnMut(Output))) {
        let said = &mut self.said;
        use_it(&mut self.acp, &mut |output| {
            let line = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            *said += &match output {
                Output::Message(message) => {
                    format!("host < {}\n", serde_json::to_string(&message).unwrap())
                }
                Output::Fault(fault) => format!("host < fault {fault}\n"),
                Output::Transcript(said) => format!(
                    "host < {}: {:?} {}\n",
                    said.kind.as_str(),
                    said.text,
                    said.line
                ),
                Output::Cost(cost) => format!(
                    "host < cost {} {}+{} {:.2}\n",
                    cost.model, cost.input_tokens, cost.output_tokens, cost.usd
                ),
                Output::Line(bytes) => format!("agent < {}", line(bytes)),
                Output::ToolLine(to, bytes) => format!("tool {to} < {}", line(bytes)),
                Output::Alarm(ms) => format!("alarm {ms:?}\n"),
                Output::GiveUp(fault) => format!("give up {fault}\n"),
            };
        });
    }

    fn hello(&mut self) {
        self.with(|acp, out| acp.tell(hello(None), out));
    }

    fn observe(&mut self, tick: u64) {
        let observe = Observe {
            tick,
            deadline_ms: 1,
            bank_ms: None,
            text: format!("Tick {tick}.\n"),
            state: json!({}),
            heard: Vec::new(),
            results: Vec::new(),
        };
        self.with(|acp, out| acp.tell(ToAgent::Observe(observe), out));
    }

    fn end(&mut self) {
        let end = End {
            reason: "done".into(),
            score: 3.0,
            tick: 9,
        };
        self.with(|acp, out| acp.tell(ToAgent::End(end), out));
    }

    /// The agent writes lines.
    fn agent(&mut self, lines: &str) {
        self.with(|acp, out| {
            for line in lines.lines() {
                acp.read(format!("{}\n", line.trim()).as_bytes(), out);
            }
        });
    }

    /// A client of the tool socket writes a line.
    fn tool(&mut self, connection: u32, line: &str) {
        self.with(|acp, out| acp.tool_line(connection, line.as_bytes(), out));
    }

    fn calls(&mut self, id: u32, name: &str) {
        self.tool(
            1,
            &format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{{}}}}}}"#
            ),
        );
    }

    /// Something happens in the session.
    fn update(&mut self, update: &Value) {
        let line = json!({"jsonrpc": "2.0", "method": "session/update",
            "params": {"sessionId": "s1", "update": update}});
        self.agent(&line.to_string());
    }

    fn chunk(&mut self, kind: &str, words: &str) {
        self.update(&json!({"sessionUpdate": kind, "content": {"type": "text", "text": words}}));
    }

    fn alarm(&mut self) {
        self.with(|acp, out| acp.alarm(out));
    }

    /// Opens a session and begins a turn in tick 0.
    fn play(&mut self) {
        self.hello();
        self.agent(
            r#"{"id":1,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true},"agentInfo":{"name":"x","version":"1"}}}
               {"id":2,"result":{"sessionId":"s1"}}"#,
        );
        self.observe(0);
        self.said.clear();
    }

    fn check(&mut self, wanted: Expect) {
        wanted.assert_eq(&std::mem::take(&mut self.said));
    }
}

#[test]
fn it_opens_a_session_takes_the_asking_mode_and_prompts() {
    let mut seat = Seat::new(plan());
    seat.hello();
    seat.agent(
        r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true},"agentInfo":{"name":"x","title":"X","version":"1.2"}}}
           {"jsonrpc":"2.0","method":"_auth/status_update","params":{}}
           {"jsonrpc":"2.0","id":2,"result":{"sessionId":"s1","modes":{"currentModeId":"auto","availableModes":[{"id":"auto"},{"id":"default"}]}}}
           {"jsonrpc":"2.0","id":3,"result":{}}"#,
    );
    seat.observe(0);
    seat.check(expect![[r#"
        agent < {"id":1,"jsonrpc":"2.0","method":"initialize","params":{"clientCapabilities":{"fs":{"readTextFile":false,"writeTextFile":false},"terminal":false},"clientInfo":{"name":"formicarium","title":"Formicarium","version":"0.1.0"},"protocolVersion":1}}
        alarm None
        agent < {"id":2,"jsonrpc":"2.0","method":"session/new","params":{"cwd":"/run/agents/a/workspace","mcpServers":[{"args":["bridge","/run/agents/a/mcp.sock"],"command":"/bin/host","env":[],"name":"world"}]}}
        alarm None
        alarm None
        agent < {"id":3,"jsonrpc":"2.0","method":"session/set_mode","params":{"modeId":"default","sessionId":"s1"}}
        alarm None
        host < {"type":"ready","name":"X 1.2","answers":true}
        alarm None
        agent < {"id":4,"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"text":"Play well.\n\nTick 0.\n","type":"text"}],"sessionId":"s1"}}
        alarm Some(5000)
    "#]]);
}

#[test]
fn the_environment_has_the_door_and_argv_has_nothing() {
    let mut acp = Acp::new(plan());
    let root = PathBuf::from("/run");
    let launch = acp.start(&Workspace {
        workspace: root.join("w"),
        home: root.join("h"),
        tmp: root.join("t"),
        program: root.join("p"),
        stderr: root.join("e"),
        root,
    });
    assert!(launch.args.is_empty());
    let env: Vec<String> = launch
        .env
        .iter()
        .map(|(name, value)| format!("{name}={}", value.display()))
        .collect();
    for wanted in [
        "ANTHROPIC_BASE_URL=http://door",
        "ANTHROPIC_API_KEY=secret-token",
        "CLAUDE_CONFIG_DIR=/run/h/.claude",
        "DISABLE_TELEMETRY=1",
    ] {
        assert!(env.iter().any(|pair| pair == wanted), "{wanted}: {env:?}");
    }
}

#[test]
fn what_an_agent_may_refuse_at_its_start_is_the_end_of_it() {
    let start = |mode: Option<&str>, lines: &str| {
        let mut seat = Seat::new(AcpPlan {
            mode: mode.map(str::to_owned),
            ..plan()
        });
        seat.hello();
        seat.said.clear();
        seat.agent(lines);
        let ends: Vec<&str> = seat
            .said
            .lines()
            .filter(|line| line.starts_with("give up"))
            .collect();
        format!("{}\n", ends.join("\n"))
    };
    let good = r#"{"id":1,"result":{"protocolVersion":1}}"#;
    let all = [
        start(None, r#"{"id":1,"result":{"protocolVersion":2}}"#),
        start(
            None,
            r#"{"id":1,"error":{"code":-32603,"message":"Internal error","data":{"details":"no node"}}}"#,
        ),
        start(
            None,
            &format!(
                "{good}\n{}",
                r#"{"id":2,"error":{"code":-32000,"message":"Authentication required"}}"#
            ),
        ),
        start(None, &format!("{good}\n{}", r#"{"id":2,"result":{}}"#)),
        start(
            Some("calm"),
            &format!(
                "{good}\n{}",
                r#"{"id":2,"result":{"sessionId":"s","modes":{"currentModeId":"a","availableModes":[{"id":"a"}]}}}"#
            ),
        ),
        start(
            Some("a"),
            &format!(
                "{good}\n{}\n{}",
                r#"{"id":2,"result":{"sessionId":"s","modes":{"currentModeId":"b","availableModes":[{"id":"a"},{"id":"b"}]}}}"#,
                r#"{"id":3,"error":{"code":-32602,"message":"no"}}"#
            ),
        ),
    ];
    expect![[r#"
        give up spawn-failed (fault of the agent): the agent speaks version 2 of ACP, and this host speaks 1; use a version of it that does too
        give up spawn-failed (fault of the agent): the agent refused initialize (-32603): Internal error: no node; try another version of it
        give up spawn-failed (fault of the cast): the agent wants somebody to log in first (Authentication required), and this host logs in nowhere: give it a key or a token in `env` of the cast, or log in once by hand
        give up spawn-failed (fault of the agent): its answer to session/new has no sessionId
        give up spawn-failed (fault of the cast): the agent has no mode "calm"; it has: a; correct `mode` in the cast
        give up spawn-failed (fault of the agent): the agent refused session/set_mode (-32602): no; try another version of it
    "#]].assert_eq(&all.concat());
}

#[test]
fn one_turn_spans_ticks_the_call_is_held_and_carries_the_next_observation() {
    let mut seat = Seat::new(plan());
    seat.play();
    seat.tool(
        1,
        r#"{"jsonrpc":"2.0","id":"p","method":"server/discover","params":{}}"#,
    );
    seat.tool(1, r#"{"method":"notifications/initialized"}"#);
    seat.chunk("agent_message_chunk", "I go ");
    seat.chunk("agent_message_chunk", "north.");
    seat.calls(7, "move");
    seat.check(expect![[r#"
        tool 1 < {"error":{"code":-32601,"message":"there is no method \"server/discover\" here"},"id":"p","jsonrpc":"2.0"}
        alarm Some(5000)
        alarm Some(5000)
        alarm Some(5000)
        alarm Some(5000)
        host < text: "I go north." {"content":{"text":"I go north.","type":"text"},"sessionUpdate":"agent_message_chunk"}
        host < {"type":"act","tick":0,"actions":[{"name":"move","args":{}}],"thought":"I go north."}
        alarm None
    "#]]);
    seat.observe(1);
    seat.calls(8, "look");
    seat.calls(9, "move");
    // Once more in a tick that is closed, and something that there is not.
    seat.calls(10, "move");
    seat.calls(11, "fly");
    seat.check(expect![[r#"
        tool 1 < {"id":7,"jsonrpc":"2.0","result":{"content":[{"text":"Tick 1.\n","type":"text"}],"isError":false}}
        alarm Some(5000)
        tool 1 < {"id":8,"jsonrpc":"2.0","result":{"content":[{"text":"Tick 1.\n","type":"text"}],"isError":false}}
        alarm Some(5000)
        host < {"type":"act","tick":1,"actions":[{"name":"move","args":{}}]}
        alarm None
        tool 1 < {"id":10,"jsonrpc":"2.0","result":{"content":[{"text":"you have used your actions of this tick; wait for the next observation","type":"text"}],"isError":true}}
        alarm None
        tool 1 < {"id":11,"jsonrpc":"2.0","result":{"content":[{"text":"there is no tool \"fly\"; there are: move, say, wait, look, remember","type":"text"}],"isError":true}}
        alarm None
    "#]]);
    seat.end();
    seat.calls(12, "move");
    seat.agent(r#"{"id":3,"result":{"stopReason":"cancelled","usage":{"inputTokens":5,"outputTokens":6}}}"#);
    seat.check(expect![[r#"
        agent < {"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s1"}}
        tool 1 < {"id":9,"jsonrpc":"2.0","result":{"content":[{"text":"The run is over: done. Your score: 3.","type":"text"}],"isError":false}}
        alarm Some(5000)
        tool 1 < {"id":12,"jsonrpc":"2.0","result":{"content":[{"text":"the run is over; end your turn","type":"text"}],"isError":true}}
        alarm Some(5000)
        host < result: "cancelled" {"stopReason":"cancelled"}
        host < cost x 1 5+6 0.00
        alarm None
    "#]]);
}

#[test]
fn permissions_are_for_the_seats_own_tools_and_the_plans() {
    let mut seat = Seat::new(plan());
    seat.play();
    let mut table = String::new();
    let all = json!([{"optionId": "always", "kind": "allow_always"}, {"optionId": "yes", "kind": "allow_once"},
        {"optionId": "no", "kind": "reject_once"}]);
    for (call, options) in [
        (json!({"name": "mcp__world__move"}), all.clone()),
        (json!({"name": "world_say"}), all.clone()),
        (json!({"name": "mcp__world__fly"}), all.clone()),
        (json!({"name": "mcp__other__move"}), all.clone()),
        (
            json!({"title": "move (world MCP Server)", "kind": "other"}),
            all.clone(),
        ),
        (json!({"title": "mcp__world__move"}), all.clone()),
        (
            json!({"title": "mcp__world__move", "kind": "execute"}),
            all.clone(),
        ),
        (
            json!({"title": "mcp__world__move", "name": "Bash"}),
            all.clone(),
        ),
        (json!({"name": "Read"}), all.clone()),
        (json!({"title": "Read"}), all.clone()),
        (json!({"name": "WebFetch"}), all.clone()),
        (json!({"kind": "search"}), all.clone()),
        (json!({"name": "Bash", "kind": "execute"}), all.clone()),
        (json!({}), all.clone()),
        (
            json!({"name": "Read"}),
            json!([{"optionId": "for ever", "kind": "allow_always"}]),
        ),
        (
            json!({"name": "Bash"}),
            json!([{"optionId": "never", "kind": "reject_always"}]),
        ),
        (
            json!({"name": "Bash"}),
            json!([{"optionId": "yes", "kind": "allow_once"}]),
        ),
        (json!({"name": "Read"}), json!("nonsense")),
    ] {
        seat.said.clear();
        let asks = json!({"jsonrpc": "2.0", "id": 0, "method": "session/request_permission",
            "params": {"sessionId": "s1", "toolCall": call, "options": options}});
        seat.agent(&asks.to_string());
        let answer: Value = seat
            .said
            .lines()
            .find_map(|line| serde_json::from_str(line.strip_prefix("agent < ")?).ok())
            .unwrap();
        let outcome = &answer["result"]["outcome"];
        table += &format!("{call} -> {} {}\n", outcome["outcome"], outcome["optionId"]);
    }
    expect![[r#"
        {"name":"mcp__world__move"} -> "selected" "yes"
        {"name":"world_say"} -> "selected" "yes"
        {"name":"mcp__world__fly"} -> "selected" "no"
        {"name":"mcp__other__move"} -> "selected" "no"
        {"kind":"other","title":"move (world MCP Server)"} -> "selected" "yes"
        {"title":"mcp__world__move"} -> "selected" "yes"
        {"kind":"execute","title":"mcp__world__move"} -> "selected" "no"
        {"name":"Bash","title":"mcp__world__move"} -> "selected" "no"
        {"name":"Read"} -> "selected" "yes"
        {"title":"Read"} -> "selected" "no"
        {"name":"WebFetch"} -> "selected" "yes"
        {"kind":"search"} -> "selected" "yes"
        {"kind":"execute","name":"Bash"} -> "selected" "no"
        {} -> "selected" "no"
        {"name":"Read"} -> "selected" "for ever"
        {"name":"Bash"} -> "selected" "never"
        {"name":"Bash"} -> "cancelled" null
        {"name":"Read"} -> "cancelled" null
    "#]]
    .assert_eq(&table);
    // What was told of a call before counts: a name that comes with the call, and not with the request.
    seat.said.clear();
    seat.update(&json!({"sessionUpdate": "tool_call", "toolCallId": "t", "name": "Bash", "title": "x", "kind": "execute"}));
    seat.agent(
        &json!({"id": 1, "method": "session/request_permission", "params": {"sessionId": "s1",
            "toolCall": {"toolCallId": "t", "title": "mcp__world__move"}, "options": all}})
        .to_string(),
    );
    seat.check(expect![[r#"
        alarm Some(5000)
        agent < {"id":1,"jsonrpc":"2.0","result":{"outcome":{"optionId":"no","outcome":"selected"}}}
        alarm Some(5000)
    "#]]);
}

#[test]
fn files_and_terminals_are_refused_in_words() {
    let mut seat = Seat::new(plan());
    seat.play();
    for method in ["fs/read_text_file", "terminal/create", "elicitation/create"] {
        seat.agent(&json!({"id": "q", "method": method, "params": {}}).to_string());
    }
    seat.check(expect![[r#"
        agent < {"error":{"code":-32601,"message":"fs/read_text_file: this host offers neither files nor terminals, as its clientCapabilities say; use your own"},"id":"q","jsonrpc":"2.0"}
        alarm Some(5000)
        agent < {"error":{"code":-32601,"message":"terminal/create: this host offers neither files nor terminals, as its clientCapabilities say; use your own"},"id":"q","jsonrpc":"2.0"}
        alarm Some(5000)
        agent < {"error":{"code":-32601,"message":"elicitation/create: this host does not know the method"},"id":"q","jsonrpc":"2.0"}
        alarm Some(5000)
    "#]]);
}

#[test]
fn updates_become_whole_messages() {
    let mut seat = Seat::new(plan());
    seat.play();
    seat.chunk("agent_thought_chunk", "Hm, ");
    seat.chunk("agent_thought_chunk", "apples.");
    seat.chunk("agent_message_chunk", "I eat.");
    seat.update(&json!({"sessionUpdate": "usage_update", "used": 1, "size": 2}));
    seat.update(&json!({"sessionUpdate": "available_commands_update", "availableCommands": []}));
    seat.update(&json!({"sessionUpdate": "tool_call", "toolCallId": "t1", "name": "mcp__world__move", "title": "m",
        "rawInput": {}, "status": "pending"}));
    seat.update(&json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "rawInput": {"dir": "north"}}));
    seat.update(
        &json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "completed",
        "content": [{"type": "content", "content": {"type": "text", "text": "Tick 1."}}]}),
    );
    seat.update(
        &json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "completed"}),
    );
    seat.update(&json!({"sessionUpdate": "plan", "entries": []}));
    // Of another session: not this seat's.
    seat.agent(r#"{"method":"session/update","params":{"sessionId":"s2","update":{"sessionUpdate":"plan"}}}"#);
    seat.said = seat.said.replace("alarm Some(5000)\n", "");
    seat.check(expect![[r#"
        host < thinking: "Hm, apples." {"content":{"text":"Hm, apples.","type":"text"},"sessionUpdate":"agent_thought_chunk"}
        host < text: "I eat." {"content":{"text":"I eat.","type":"text"},"sessionUpdate":"agent_message_chunk"}
        host < tool-call: "move {\"dir\":\"north\"}" {"kind":null,"name":"mcp__world__move","rawInput":{"dir":"north"},"sessionUpdate":"tool_call","title":"m","toolCallId":"t1"}
        host < tool-result: "Tick 1." {"content":[{"content":{"text":"Tick 1.","type":"text"},"type":"content"}],"sessionUpdate":"tool_call_update","status":"completed","toolCallId":"t1"}
        host < other: "" {"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s1","update":{"entries":[],"sessionUpdate":"plan"}}}
    "#]]);
}

#[test]
fn turns_end_in_different_ways() {
    let mut all = String::new();
    for answer in [
        r#""result":{"stopReason":"end_turn"}"#,
        r#""result":{"stopReason":"max_tokens"}"#,
        r#""result":{"stopReason":"refusal"}"#,
        r#""result":{"stopReason":"cancelled"}"#,
        r#""result":{"stopReason":"max_turn_requests"}"#,
        r#""result":null"#,
        r#""error":{"code":-32603,"message":"API Error: 529 overloaded"}"#,
        r#""error":{"code":-32000,"message":"Authentication required"}"#,
    ] {
        let mut seat = Seat::new(plan());
        seat.play();
        seat.agent(&format!(r#"{{"id":3,{answer}}}"#));
        all += &format!("# {answer}\n{}", seat.said);
    }
    expect![[r##"
        # "result":{"stopReason":"end_turn"}
        host < result: "end_turn" {"stopReason":"end_turn"}
        host < {"type":"act","tick":0,"actions":[]}
        alarm None
        # "result":{"stopReason":"max_tokens"}
        host < result: "max_tokens" {"stopReason":"max_tokens"}
        host < fault model-error (fault of the agent): the model's answer reached its limit of tokens; ask for shorter answers in the prompt, or raise the agent's own limit (stopReason "max_tokens"); it passes this tick and tries again with the next
        host < {"type":"act","tick":0,"actions":[]}
        alarm None
        # "result":{"stopReason":"refusal"}
        host < result: "refusal" {"stopReason":"refusal"}
        host < fault model-error (fault of the agent): the model refused to go on; look at the scenario's prompts (stopReason "refusal"); it passes this tick and tries again with the next
        host < {"type":"act","tick":0,"actions":[]}
        alarm None
        # "result":{"stopReason":"cancelled"}
        host < result: "cancelled" {"stopReason":"cancelled"}
        host < fault model-error (fault of the agent): its turn was cancelled, and not by this host (stopReason "cancelled"); it passes this tick and tries again with the next
        host < {"type":"act","tick":0,"actions":[]}
        alarm None
        # "result":{"stopReason":"max_turn_requests"}
        host < result: "max_turn_requests" {"stopReason":"max_turn_requests"}
        host < fault model-error (fault of the agent): its turn reached the agent's limit of model calls without a call of the seat's tools (stopReason "max_turn_requests"); it passes this tick and tries again with the next
        host < {"type":"act","tick":0,"actions":[]}
        alarm None
        # "result":null
        host < result: "" {"stopReason":""}
        host < fault model-error (fault of the agent): its turn ended for a reason that this host does not know (stopReason ""); it passes this tick and tries again with the next
        host < {"type":"act","tick":0,"actions":[]}
        alarm None
        # "error":{"code":-32603,"message":"API Error: 529 overloaded"}
        host < result: "error" {"stopReason":"error"}
        host < fault model-error (fault of the machine): its turn ended in an error (-32603): API Error: 529 overloaded; it passes this tick and tries again with the next; the provider is overloaded; it passes by itself
        host < {"type":"act","tick":0,"actions":[]}
        alarm None
        # "error":{"code":-32000,"message":"Authentication required"}
        give up spawn-failed (fault of the cast): the agent wants somebody to log in first (Authentication required), and this host logs in nowhere: give it a key or a token in `env` of the cast, or log in once by hand
        alarm Some(5000)
    "##]].assert_eq(&all);
}

#[test]
fn what_was_not_seen_begins_another_turn() {
    let mut seat = Seat::new(plan());
    seat.play();
    // A new tick while the agent talks on: it is shown when the turn is over.
    seat.observe(1);
    seat.agent(r#"{"id":3,"result":{"stopReason":"end_turn"}}"#);
    seat.check(expect![[r#"
        alarm Some(5000)
        host < result: "end_turn" {"stopReason":"end_turn"}
        agent < {"id":4,"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"text":"Tick 1.\n","type":"text"}],"sessionId":"s1"}}
        alarm Some(5000)
    "#]]);
    // A limit of calls in the middle of a tick: on with the same observation, once it has called anything.
    seat.calls(1, "say");
    seat.agent(r#"{"id":4,"result":{"stopReason":"max_turn_requests"}}"#);
    seat.check(expect![[r#"
        host < {"type":"act","tick":1,"actions":[{"name":"say","args":{}}]}
        tool 1 < {"id":1,"jsonrpc":"2.0","result":{"content":[{"text":"Said: it is heard at the end of this tick. You may still act.","type":"text"}],"isError":false}}
        alarm Some(5000)
        host < result: "max_turn_requests" {"stopReason":"max_turn_requests"}
        agent < {"id":5,"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"text":"Tick 1.\n","type":"text"}],"sessionId":"s1"}}
        alarm Some(5000)
    "#]]);
}

#[test]
fn a_silent_turn_is_cancelled_and_then_given_up() {
    let mut seat = Seat::new(plan());
    seat.play();
    seat.alarm();
    seat.check(expect![[r#"
        host < fault stalled (fault of the machine): its turn was silent for 5000 ms and was cancelled; the model or the way to it is slow; it passes this tick
        agent < {"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s1"}}
        host < {"type":"act","tick":0,"actions":[]}
        alarm Some(10000)
    "#]]);
    // It comes back to reason: the tick that it has not seen begins a turn.
    seat.observe(1);
    seat.agent(r#"{"id":3,"result":{"stopReason":"cancelled"}}"#);
    seat.check(expect![[r#"
        alarm Some(10000)
        host < result: "cancelled" {"stopReason":"cancelled"}
        agent < {"id":4,"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"text":"Tick 1.\n","type":"text"}],"sessionId":"s1"}}
        alarm Some(5000)
    "#]]);
    // It does not.
    seat.alarm();
    seat.said.clear();
    seat.alarm();
    seat.check(expect![[r#"
        give up stalled (fault of the agent): it did not end its turn after session/cancel; its process is ended
    "#]]);
}

#[test]
fn a_call_that_nobody_waits_for_is_not_held() {
    let mut seat = Seat::new(plan());
    seat.play();
    seat.calls(1, "move");
    seat.tool(
        2,
        r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#,
    );
    assert!(seat.acp.held.is_some(), "another connection's");
    seat.tool(
        1,
        r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#,
    );
    assert!(seat.acp.held.is_none());
    seat.observe(1);
    seat.calls(2, "move");
    seat.with(|acp, out| acp.tool_closed(2, out));
    assert!(seat.acp.held.is_some());
    seat.with(|acp, out| acp.tool_closed(1, out));
    assert!(seat.acp.held.is_none());
    seat.said.clear();
    seat.observe(2);
    seat.check(expect![[r#"
        alarm Some(5000)
    "#]]);
}

#[test]
fn bad_lines_are_dropped_and_told_of_three_times() {
    let mut seat = Seat::new(plan());
    seat.play();
    seat.agent("Welcome to my agent!\n[1]\n{\"id\":3,\n{\"method\":1}\n\n\"x\"");
    seat.agent(r#"{"id":99,"result":{}}"#);
    seat.tool(1, "nonsense");
    seat.tool(1, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    seat.check(expect![[r#"
        host < fault garbage (fault of the agent): a line of the agent is no JSON-RPC (expected value at line 1 column 1): "Welcome to my agent!"; it was dropped; is it a command that speaks ACP on its standard streams?
        host < fault garbage (fault of the agent): a line of the agent is no JSON-RPC (invalid length 1, expected struct Raw with 5 elements at line 1 column 3): "[1]"; it was dropped; is it a command that speaks ACP on its standard streams?
        host < fault garbage (fault of the agent): a line of the agent is no JSON-RPC (EOF while parsing a value at line 1 column 8): "{\"id\":3,"; it was dropped; is it a command that speaks ACP on its standard streams?; more such lines are dropped without a word
        tool 1 < {"error":{"code":-32700,"message":"no JSON-RPC: expected ident at line 1 column 2"},"id":null,"jsonrpc":"2.0"}
        alarm Some(5000)
    "#]]);
}

#[test]
fn a_new_process_loads_the_session_and_what_it_repeats_is_not_told() {
    let mut seat = Seat::new(plan());
    seat.play();
    seat.calls(1, "move");
    seat.with(|acp, out| acp.end(out));
    seat.start();
    seat.said.clear();
    seat.with(|acp, out| acp.tell(hello(Some(json!("west is bare"))), out));
    seat.agent(
        r#"{"id":4,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}}"#,
    );
    seat.chunk("agent_message_chunk", "I go north.");
    seat.agent(r#"{"id":5,"result":null}"#);
    seat.observe(1);
    seat.check(expect![[r#"
        agent < {"id":4,"jsonrpc":"2.0","method":"initialize","params":{"clientCapabilities":{"fs":{"readTextFile":false,"writeTextFile":false},"terminal":false},"clientInfo":{"name":"formicarium","title":"Formicarium","version":"0.1.0"},"protocolVersion":1}}
        alarm None
        agent < {"id":5,"jsonrpc":"2.0","method":"session/load","params":{"cwd":"/run/agents/a/workspace","mcpServers":[{"args":["bridge","/run/agents/a/mcp.sock"],"command":"/bin/host","env":[],"name":"world"}],"sessionId":"s1"}}
        alarm None
        alarm None
        host < {"type":"ready","name":"ACP agent","answers":true}
        alarm None
        agent < {"id":6,"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"text":"Tick 1.\n","type":"text"}],"sessionId":"s1"}}
        alarm Some(5000)
    "#]]);
    // It has lost the session: a new one, told all again.
    seat.start();
    seat.with(|acp, out| acp.tell(hello(Some(json!("west is bare"))), out));
    seat.said.clear();
    seat.agent(
        r#"{"id":7,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}}
           {"id":8,"error":{"code":-32002,"message":"no such session"}}
           {"id":9,"result":{"sessionId":"s2"}}"#,
    );
    seat.observe(2);
    seat.check(expect![[r#"
        agent < {"id":8,"jsonrpc":"2.0","method":"session/load","params":{"cwd":"/run/agents/a/workspace","mcpServers":[{"args":["bridge","/run/agents/a/mcp.sock"],"command":"/bin/host","env":[],"name":"world"}],"sessionId":"s1"}}
        alarm None
        agent < {"id":9,"jsonrpc":"2.0","method":"session/new","params":{"cwd":"/run/agents/a/workspace","mcpServers":[{"args":["bridge","/run/agents/a/mcp.sock"],"command":"/bin/host","env":[],"name":"world"}]}}
        alarm None
        host < {"type":"ready","name":"ACP agent","answers":true}
        alarm None
        agent < {"id":10,"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"text":"Play well.\n\nYou were started again. Your note from before: west is bare\n\nTick 2.\n","type":"text"}],"sessionId":"s2"}}
        alarm Some(5000)
    "#]]);
}
