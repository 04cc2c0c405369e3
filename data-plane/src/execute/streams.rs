//! Long-lived streams: of a legacy session, and of a modern client that listens for changes.

use std::{
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use toolgate_data_core::{
    Caller, GatewayView, Refusal,
    notify::subscription,
    plan::{ListenPlan, ResourceTarget},
};
use toolgate_model::Timestamp;
use toolgate_runtime::SharedClock;
use toolgate_session::{SessionContext, SubscriptionRequest};

use crate::{
    config_source::ConfigSource,
    pipeline::ClientHttpResponse,
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    streamed::{LongLivedBody, StreamBody},
};

use super::events;

/// Interval at which the expiry of a stream's token is compared with the clock.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// Gateway, caller and permit of a stream.
pub(super) struct ListenContext<'a> {
    pub(super) gateway: &'a Arc<GatewayView>,
    pub(super) caller: &'a Caller,
    pub(super) permit: &'a RequestPermit,
}

/// Opens the stream of a session.
pub(super) async fn session<S: ConfigSource>(
    state: &ProxyState<S>,
    subject: Option<SessionContext<'_>>,
    accepts_events: Result<(), Refusal>,
    permit: &RequestPermit,
) -> Result<ClientHttpResponse, Refusal> {
    accepts_events?;
    let subject = subject.ok_or(Refusal::Internal)?;
    if state.drain.is_draining() {
        return Err(Refusal::Overloaded);
    }
    let stream = state.sessions.open_stream(subject).await?;
    let expires = subject.caller.authn().expires;
    let stream = LongLivedBody::new(stream, end(state, permit, expires), None);
    Ok(events(StreamBody::LongLived(Box::new(stream))))
}

/// Subscribes a session to updates of a resource.
pub(super) async fn watch<S: ConfigSource>(
    state: &ProxyState<S>,
    subject: Option<SessionContext<'_>>,
    target: &ResourceTarget,
) -> Result<(), Refusal> {
    let subject = subject.ok_or(Refusal::Internal)?;
    let (sessions, feeds) = (&state.sessions, &state.change_feeds);
    let view = || state.source.view();
    sessions
        .subscribe_resource(subject, target, feeds, view)
        .await
}

/// Opens a stream of changes. It ends with the answer to the request that opened it.
pub(super) async fn listen<S: ConfigSource>(
    state: &ProxyState<S>,
    listen: &ListenPlan,
    context: ListenContext<'_>,
    accepts_events: Result<(), Refusal>,
) -> Result<ClientHttpResponse, Refusal> {
    accepts_events?;
    if state.drain.is_draining() {
        return Err(Refusal::Overloaded);
    }
    let opened = state.subscriptions.open(SubscriptionRequest {
        id: &listen.id,
        gateway: context.gateway,
        caller: context.caller,
    })?;
    // A view that was replaced before the subscription opened has not notified it.
    let id = context.gateway.name.id.as_str();
    let view = state.source.view();
    if !(view.gateway(id)).is_some_and(|now| Arc::ptr_eq(now, context.gateway)) {
        opened.mark_changed()?;
    }
    let (uris, tasks) = tokio::join!(
        opened.subscribe_resources(&listen.resources, &state.change_feeds),
        opened.follow_tasks(&listen.tasks, &state.change_feeds),
    );
    // Changes before the resources were watched have not notified it either.
    let view = state.source.view();
    opened.apply_view(&view);
    let kinds = listen.list_changes;
    let honoured = subscription::SubscriptionFilter {
        list_changes: kinds,
        uris,
        tasks,
    };
    let stream = opened.acknowledge(honoured)?;
    let final_message = subscription::final_response(&listen.id, &context.gateway.server_info);
    let end = end(state, context.permit, context.caller.authn().expires);
    let stream = LongLivedBody::new(stream, end, Some(final_message));
    Ok(events(StreamBody::LongLived(Box::new(stream))))
}

/// Returns a future that ends when the proxy drains or the token of the stream is revoked or expires.
fn end<S: ConfigSource>(
    state: &ProxyState<S>,
    permit: &RequestPermit,
    expires: Option<Timestamp>,
) -> impl Future<Output = ()> + Send + 'static {
    let (draining, over) = (state.drain.draining(), permit.authn_ended_static());
    let expired = expired(Arc::clone(&state.clock), expires);
    async move {
        tokio::select! {
            () = draining => {}
            () = over => {}
            () = expired => {}
        }
    }
}

/// Ends at `expires` by the wall clock.
async fn expired(clock: SharedClock, expires: Option<Timestamp>) {
    let Some(expires) = expires else {
        return pending().await;
    };
    loop {
        let left = expires.since(clock.now());
        if left == Duration::ZERO {
            return;
        }
        // The clock may be set meanwhile.
        sleep(left.min(CLOCK_CHECK)).await;
    }
}
