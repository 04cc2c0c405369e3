//! Streams that stay: of a legacy session, and of a modern client that listens for changes.

use std::{future::Future, sync::Arc};

use toolgate_data_core::{
    Caller, GatewayView, Refusal,
    notify::subscription,
    plan::{ListenPlan, ResourceTarget},
};
use toolgate_session::{SessionContext, SubscriptionRequest};

use crate::{
    config_source::ConfigSource,
    limit::RequestPermit,
    pipeline::Answer,
    proxy_state::ProxyState,
    streamed::{StandingStream, Streamed},
};

use super::events;

/// Where and by whom a stream is asked for.
pub(super) struct Scene<'a> {
    pub(super) gateway: &'a Arc<GatewayView>,
    pub(super) caller: &'a Caller,
    pub(super) place: &'a RequestPermit,
}

/// The stream of a session.
pub(super) async fn session<S: ConfigSource>(
    plane: &ProxyState<S>,
    subject: Option<SessionContext<'_>>,
    events_taken: Result<(), Refusal>,
    place: &RequestPermit,
) -> Result<Answer, Refusal> {
    events_taken?;
    let subject = subject.ok_or(Refusal::Internal)?;
    if plane.drain.is_draining() {
        return Err(Refusal::Overloaded);
    }
    let stream = plane.sessions.open_stream(subject).await?;
    let stream = StandingStream::new(stream, end(plane, place), None);
    Ok(events(Streamed::Standing(Box::new(stream))))
}

/// Has the session told of updates of a resource.
pub(super) async fn watch<S: ConfigSource>(
    plane: &ProxyState<S>,
    subject: Option<SessionContext<'_>>,
    target: &ResourceTarget,
) -> Result<(), Refusal> {
    let subject = subject.ok_or(Refusal::Internal)?;
    let watched = plane
        .sessions
        .subscribe_resource(subject, target, &plane.change_feeds);
    watched.await
}

/// A stream of changes. It ends with the answer to the request that opened it.
pub(super) async fn listen<S: ConfigSource>(
    plane: &ProxyState<S>,
    listen: &ListenPlan,
    scene: Scene<'_>,
    events_taken: Result<(), Refusal>,
) -> Result<Answer, Refusal> {
    events_taken?;
    if plane.drain.is_draining() {
        return Err(Refusal::Overloaded);
    }
    let opened = plane.subscriptions.open(SubscriptionRequest {
        id: &listen.id,
        gateway: scene.gateway,
        caller: scene.caller,
    })?;
    // A view that came before this hears nothing of it, one that comes later does.
    let id = scene.gateway.name.id.as_str();
    let view = plane.source.view();
    if !(view.gateway(id)).is_some_and(|now| Arc::ptr_eq(now, scene.gateway)) {
        opened.mark_changed()?;
    }
    let (uris, tasks) = tokio::join!(
        opened.subscribe_resources(&listen.resources, &plane.change_feeds),
        opened.follow_tasks(&listen.tasks, &plane.change_feeds),
    );
    // Nor what was not yet watched when it came.
    let view = plane.source.view();
    opened.apply_view(&view);
    let kinds = listen.list_changes;
    let honoured = subscription::SubscriptionFilter {
        list_changes: kinds,
        uris,
        tasks,
    };
    let stream = opened.acknowledge(honoured)?;
    let farewell = subscription::final_response(&listen.id, &scene.gateway.server_info);
    let stream = StandingStream::new(stream, end(plane, scene.place), Some(farewell));
    Ok(events(Streamed::Standing(Box::new(stream))))
}

/// When such a stream ends at the latest: this proxy drains, or the token that opened it is no longer good.
fn end<S: ConfigSource>(
    plane: &ProxyState<S>,
    place: &RequestPermit,
) -> impl Future<Output = ()> + Send + 'static {
    let (draining, over) = (plane.drain.draining(), place.token_ended_static());
    async move {
        tokio::select! {
            () = draining => {}
            () = over => {}
        }
    }
}
