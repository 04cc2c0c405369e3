//! `subscriptions/listen`: what is asked for. What of it is honoured is known when servers have been asked.

use std::sync::Arc;

use toolgate_mcp::Envelope;

use crate::{
    Refusal,
    change::Kinds,
    plan::{CallPlan, ClientSide, PlanInput, ResourceTarget, find, task},
    subscription::Filter,
};

/// A stream of changes to be opened.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The client's id for it, as written.
    pub id: Box<str>,
    /// Which lists it wants to hear of.
    pub kinds: Kinds,
    /// Of which resources it wants to hear, as far as it may.
    pub resources: Vec<ResourceTarget>,
    /// Which tasks it follows, each as a call that asks how far it is.
    pub tasks: Vec<Arc<CallPlan>>,
}

pub(super) fn plan(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    client: ClientSide,
) -> Result<Listen, Refusal> {
    let params = envelope.params.as_ref();
    let filter = params.and_then(|params| params.notifications);
    let filter = filter.ok_or(Refusal::InvalidParams(
        "`notifications` must be an object that says what to listen for".into(),
    ))?;
    let filter = Filter::read(envelope.slice(filter));
    let Filter { kinds, uris, tasks } =
        filter.map_err(|problem| Refusal::InvalidParams(problem.into()))?;
    // What cannot be heard of is left out of what is acknowledged.
    let resources = uris.iter().filter_map(|uri| find::watched(input, uri));
    Ok(Listen {
        id: envelope.raw_id().ok_or(Refusal::Internal)?.into(),
        kinds,
        resources: resources.collect(),
        tasks: tasks
            .iter()
            .filter_map(|id| task::followed(input, id, client))
            .collect(),
    })
}
