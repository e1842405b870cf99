//! The model door of a run: where it leads, and a token for each seat that may use it. Must not know what is asked there.

use formicarium_agents::gateway::{Gateway, GatewayPlan, ModelCall, Secret};
use tokio::sync::mpsc;

use super::{RunError, token};
use crate::cast::{Agent, Seated};

/// Reports of the model door that may wait for the tick loop.
const CALLS: usize = 1024;
/// The model's API.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Base URL, without `/v1`.
    pub url: String,
    /// The real key.
    pub key: Option<Secret>,
}

/// Opens the model door, if any seat needs it, with a token for each seat that does.
pub(super) async fn open(
    seated: &[Seated],
    model: &Upstream,
) -> Result<
    (
        Option<Gateway>,
        mpsc::Receiver<ModelCall>,
        Vec<Option<String>>,
    ),
    RunError,
> {
    let (sender, calls) = mpsc::channel(CALLS);
    let tokens: Vec<Option<String>> = seated
        .iter()
        .map(|seated| match &seated.agent {
            Agent::Process(program) if program.adapter.translates() => Some(token()),
            _ => None,
        })
        .collect();
    let seats: Vec<(usize, Secret)> = tokens
        .iter()
        .enumerate()
        .filter_map(|(seat, token)| Some((seat, Secret::new(token.clone()?))))
        .collect();
    if seats.is_empty() {
        return Ok((None, calls, tokens));
    }
    let door = GatewayPlan {
        upstream: model.url.clone(),
        key: model.key.clone(),
        seats,
    };
    Ok((Some(Gateway::start(door, sender).await?), calls, tokens))
}
