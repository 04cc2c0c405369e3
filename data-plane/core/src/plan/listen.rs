//! Plans of `subscriptions/listen` requests. The servers decide later which part of the request is acknowledged.

use std::sync::Arc;

use toolgate_mcp::Envelope;

use crate::{
    Refusal,
    notify::{subscription::SubscriptionFilter, view_change::ListChanges},
    plan::{CallPlan, ClientProtocol, PlanInput, ResourceTarget, find, task},
};

/// Subscription stream to open.
#[derive(Debug, Clone)]
pub struct ListenPlan {
    /// Request id of the client, as written.
    pub id: Box<str>,
    /// List changes that the client requests.
    pub list_changes: ListChanges,
    /// Requested resources that the client may subscribe to.
    pub resources: Vec<ResourceTarget>,
    /// Requested tasks, each as a call of `tasks/get`.
    pub tasks: Vec<Arc<CallPlan>>,
}

pub(super) fn plan(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    client: ClientProtocol,
) -> Result<ListenPlan, Refusal> {
    let params = envelope.params.as_ref();
    let filter = params.and_then(|params| params.notifications);
    let filter = filter.ok_or(Refusal::InvalidParams(
        "`notifications` must be an object that says what to listen for".into(),
    ))?;
    let filter = SubscriptionFilter::read(envelope.slice(filter));
    let SubscriptionFilter {
        list_changes: kinds,
        uris,
        tasks,
    } = filter.map_err(|problem| Refusal::InvalidParams(problem.into()))?;
    // Resources without access are left out of the acknowledgement.
    let resources = uris
        .iter()
        .filter_map(|uri| find::subscribable_resource(input, uri));
    Ok(ListenPlan {
        id: envelope.raw_id().ok_or(Refusal::Internal)?.into(),
        list_changes: kinds,
        resources: resources.collect(),
        tasks: tasks
            .iter()
            .filter_map(|id| task::followed_task(input, id, client))
            .collect(),
    })
}
