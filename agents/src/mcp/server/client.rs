//! One session of an MCP client: MCP's requests as calls at the seat's desk, and answers back.
//!
//! Must not know HTTP, tokens, or when a client is gone.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptRequestParams,
    GetPromptResponse, GetPromptResult, Implementation, InitializeRequestParams, InitializeResult,
    JsonObject, ListPromptsResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, Prompt, PromptMessage, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, Role, ServerCapabilities,
    ServerConfig, Tool, ToolAnnotations,
};
#[expect(
    deprecated,
    reason = "logging goes with the newest protocol, which has no sessions; all clients before have it"
)]
use rmcp::model::{LoggingLevel, LoggingMessageNotificationParam, SetLevelRequestParams};
use rmcp::service::{Peer, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::desk::{Called, Reply, Visit};
use super::{Seat, words};

/// A held call is told to clients that ask for progress so often.
const PROGRESS: Duration = Duration::from_secs(10);
/// Words that may wait for a client.
const NOTICES: usize = 4;
/// The resource with role, rules and limits.
const RULES: &str = "formicarium://rules";
/// The resource with what the seat sees now.
const OBSERVATION: &str = "formicarium://observation";
/// The prompt to begin with.
const PLAY: &str = "play";

/// Put into a request: the number of the session that it made is found there.
#[derive(Debug, Clone, Default)]
pub(super) struct Made(pub(super) Arc<OnceLock<u64>>);

/// One session.
pub(super) struct Client {
    seat: Arc<Seat>,
    session: OnceLock<u64>,
    #[expect(deprecated, reason = "as above")]
    level: Arc<Mutex<LoggingLevel>>,
}

impl Client {
    /// A session of that seat, before its client has said anything.
    pub(super) fn new(seat: Arc<Seat>) -> Self {
        Self {
            seat,
            session: OnceLock::new(),
            #[expect(deprecated, reason = "as above")]
            level: Arc::new(Mutex::new(LoggingLevel::Info)),
        }
    }

    fn session(&self) -> Result<u64, ErrorData> {
        let session = self.session.get().copied();
        session.ok_or_else(|| ErrorData::invalid_request("initialize first", None))
    }

    /// Passes words on to the client for as long as the desk may have some.
    #[expect(deprecated, reason = "as above")]
    fn listen(&self, peer: Peer<RoleServer>) -> mpsc::Sender<String> {
        let (sender, mut notices) = mpsc::channel::<String>(NOTICES);
        let level = Arc::clone(&self.level);
        tokio::spawn(async move {
            while let Some(text) = notices.recv().await {
                let wanted = *level.lock().unwrap_or_else(PoisonError::into_inner);
                if (wanted as u8) <= LoggingLevel::Notice as u8 {
                    let message =
                        LoggingMessageNotificationParam::new(LoggingLevel::Notice, json!(text))
                            .with_logger("formicarium");
                    if peer.notify_logging_message(message).await.is_err() {
                        return;
                    }
                }
            }
        });
        sender
    }

    /// Waits for the answer of a held call; tells a client that asked for it that the call is alive.
    async fn hold(
        &self,
        call: u64,
        mut answer: tokio::sync::oneshot::Receiver<Reply>,
        context: &RequestContext<RoleServer>,
    ) -> Reply {
        let gone = |text: &str| Reply {
            text: text.to_owned(),
            refused: true,
        };
        let token = context.meta.get_progress_token();
        let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        let mut beat = 0.0;
        loop {
            tokio::select! {
                reply = &mut answer => {
                    return reply.unwrap_or_else(|_| gone("the run is over"));
                }
                () = context.ct.cancelled() => {
                    self.seat.desk().forget(call);
                    return gone("you have cancelled the call; what it asked for still counts");
                }
                _ = beats.tick(), if token.is_some() => {
                    beat += 1.0;
                    if let Some(token) = token.clone() {
                        let progress = ProgressNotificationParam::new(token, beat)
                            .with_message("the tick is not over yet");
                        // A client that does not listen has left, or will be told the answer.
                        let _ = context.peer.notify_progress(progress).await;
                    }
                }
            }
        }
    }
}

fn object(schema: Value) -> JsonObject {
    match schema {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

impl ServerHandler for Client {
    #[expect(deprecated, reason = "as above")]
    fn get_info(&self) -> ServerConfig {
        let can = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_logging()
            .build();
        ServerConfig::new(can).with_server_info(
            Implementation::new("formicarium", env!("CARGO_PKG_VERSION"))
                .with_title(format!("Formicarium: the seat {}", self.seat.name)),
        )
    }

    /// Those with sessions: a seat is played by one client at a time, and the newest version knows no clients.
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25))
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let over = |why: String| ErrorData::invalid_request(why, None);
        if self.session.get().is_some() {
            return Err(over("this session has begun already; open another".into()));
        }
        context.peer.set_peer_info(request.clone());
        let mut info = self.negotiate_initialize(&request)?;
        let client = &request.client_info;
        let client = format!("{} {}", client.name, client.version);
        let notices = self.listen(context.peer.clone());
        let entry = self.seat.desk().enter(&client, notices).map_err(over)?;
        // Both are set once, here.
        let _ = self.session.set(entry.session);
        if let Some(parts) = context.extensions.get::<http::request::Parts>()
            && let Some(made) = parts.extensions.get::<Made>()
        {
            let _ = made.0.set(entry.session);
        }
        self.seat.close(entry.close);
        if entry.greeted.await.is_err() {
            return Err(over("the run is over".into()));
        }
        info.instructions = self.seat.desk().hello().map(words::instructions);
        Ok(info)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.seat.desk().tools();
        let tools = tools.into_iter().map(|tool| {
            let reads = tool.name == "look";
            Tool::new(tool.name, tool.description, Arc::new(object(tool.schema))).with_annotations(
                ToolAnnotations::new()
                    .read_only(reads)
                    .destructive(false)
                    .open_world(false),
            )
        });
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let session = self.session()?;
        let visit = self.seat.desk().visit(session);
        if let Visit::Back(greeted) = visit {
            // Closed if the run is over, which the call is told then.
            let _ = greeted.await;
        }
        let args = request.arguments.unwrap_or_default();
        let called = self.seat.desk().call(session, &request.name, args);
        let reply = match called {
            Called::Done(reply) => reply,
            Called::Held(call, answer) => self.hold(call, answer, &context).await,
        };
        let content = vec![ContentBlock::text(reply.text)];
        Ok(match reply.refused {
            false => CallToolResult::success(content).into(),
            true => CallToolResult::error(content).into(),
        })
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![
            Resource::new(RULES, "rules")
                .with_title("Role, rules and limits")
                .with_description("What the seat is there for, the rules of the world, how to play")
                .with_mime_type("text/plain"),
            Resource::new(OBSERVATION, "observation")
                .with_title("What the seat sees now")
                .with_description("The present observation, in words and as JSON")
                .with_mime_type("text/plain"),
        ]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let text = |uri: &str, text: String| {
            ResourceContents::text(text, uri).with_mime_type("text/plain")
        };
        let contents = match request.uri.as_str() {
            RULES => {
                let rules = self.seat.desk().hello().map(words::instructions);
                vec![text(RULES, rules.unwrap_or_default())]
            }
            OBSERVATION => {
                let now = self.seat.desk().now();
                let mut contents = vec![text(OBSERVATION, words::observation(now.as_ref()))];
                if let Some(now) = now {
                    let state = ResourceContents::text(now.state.to_string(), OBSERVATION);
                    contents.push(state.with_mime_type("application/json"));
                }
                contents
            }
            other => {
                let why =
                    format!("there is no resource {other:?}; there are {RULES} and {OBSERVATION}");
                return Err(ErrorData::resource_not_found(why, None));
            }
        };
        Ok(ReadResourceResult::new(contents).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let about = "Begin to play: role, rules, and how to go on";
        let prompt = Prompt::new(PLAY, Some(about), None).with_title("Play the seat");
        Ok(ListPromptsResult::with_all_items(vec![prompt]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name != PLAY {
            let why = format!("there is no prompt {:?}; there is {PLAY:?}", request.name);
            return Err(ErrorData::invalid_params(why, None));
        }
        let text = self.seat.desk().hello().map(words::instructions);
        let message = PromptMessage::new_text(Role::User, text.unwrap_or_default());
        Ok(GetPromptResult::new(vec![message]).into())
    }

    #[expect(deprecated, reason = "as above")]
    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = request.level;
        Ok(())
    }
}
