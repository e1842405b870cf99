//! How an ACP agent is started, and how its session is opened: environment, greeting, session, mode.

use serde_json::{Value, json};

use super::wire::{self, SERVER};
use super::{Acp, Asked, State};
use crate::adapter::{Launch, Output, model};
use crate::event::{Blame, FaultKind};
use crate::plan::AcpPlan;
use crate::protocol::{FromAgent, Hello, Ready};
use crate::workspace::Workspace;

/// The mode that is taken, where an agent offers it and the plan names none: the one that asks before it does things.
const ASKING_MODE: &str = "default";

/// The environment of a new process.
pub(super) fn launch(plan: &AcpPlan, at: &Workspace) -> Launch {
    Launch {
        args: Vec::new(),
        env: model::environment(at, plan.model_door.as_ref()),
    }
}

/// What stands before the first observation of a session.
pub(super) fn greeting(hello: &Hello, prompt: Option<&str>) -> String {
    let mut text = match prompt {
        Some(prompt) => format!("{}\n\n", prompt.trim_end()),
        None => model::introduction(hello, SERVER),
    };
    text += &model::remembered(hello);
    text
}

impl Acp {
    pub(super) fn initialized(&mut self, result: &Value, out: &mut dyn FnMut(Output)) {
        let version = &result["protocolVersion"];
        if *version != wire::VERSION {
            let detail = format!(
                "the agent speaks version {version} of ACP, and this host speaks {}; use a version of it that does too",
                wire::VERSION
            );
            return Self::give_up(FaultKind::SpawnFailed, Blame::Agent, detail, out);
        }
        let info = &result["agentInfo"];
        let name = info["title"].as_str().or(info["name"].as_str());
        let version = info["version"].as_str().unwrap_or_default();
        self.name = format!("{} {version}", name.unwrap_or("ACP agent"))
            .trim_end()
            .to_owned();
        self.loads = result["agentCapabilities"]["loadSession"] == true;
        match self.session.clone().filter(|_| self.loads) {
            Some(session) => {
                let mut params = self.session_params();
                params["sessionId"] = json!(session);
                self.request(Asked::Load, &params, out);
            }
            None => self.open_new(out),
        }
    }

    pub(super) fn open_new(&mut self, out: &mut dyn FnMut(Output)) {
        self.session = None;
        let params = self.session_params();
        self.request(Asked::New, &params, out);
    }

    /// Where the agent works, and the one tool server that it gets. No secret: this ends in argv of some agents' children.
    pub(super) fn session_params(&self) -> Value {
        let (command, args) = match self.plan.bridge.split_first() {
            Some((command, args)) => (command.clone(), args.to_vec()),
            None => (String::new(), Vec::new()),
        };
        let socket = self.socket.display().to_string();
        let args: Vec<String> = args.into_iter().chain([socket]).collect();
        json!({"cwd": self.cwd.display().to_string(),
            "mcpServers": [{"name": SERVER, "command": command, "args": args, "env": []}]})
    }

    /// A session is open; `modes` are what the agent offers in it.
    pub(super) fn opened(&mut self, modes: &Value, out: &mut dyn FnMut(Output)) {
        let offered: Vec<&str> = modes["availableModes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|mode| mode["id"].as_str())
            .collect();
        let wanted = self.plan.mode.as_deref().unwrap_or(ASKING_MODE);
        if offered.contains(&wanted) {
            if modes["currentModeId"] != wanted {
                let params = json!({"sessionId": self.session, "modeId": wanted});
                return self.request(Asked::Mode, &params, out);
            }
        } else if self.plan.mode.is_some() {
            let have = match offered.is_empty() {
                true => "none".to_owned(),
                false => offered.join(", "),
            };
            let detail = format!(
                "the agent has no mode {wanted:?}; it has: {have}; correct `mode` in the cast"
            );
            return Self::give_up(FaultKind::SpawnFailed, Blame::Cast, detail, out);
        }
        self.ready(out);
    }

    pub(super) fn ready(&mut self, out: &mut dyn FnMut(Output)) {
        self.state = State::Idle;
        let name = Some(self.name.clone());
        out(Output::Message(FromAgent::Ready(Ready {
            name,
            answers: true,
        })));
        if self.play.is_open() && !self.over {
            self.begin_turn(out);
        }
    }
}
