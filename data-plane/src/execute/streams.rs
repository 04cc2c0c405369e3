//! Long-lived streams: of a legacy session, and of a modern client that listens for changes.

use std::{future::Future, sync::Arc};

use toolgate_data_core::{
    Caller, GatewayView, Refusal,
    notify::subscription,
    plan::{ListenPlan, ResourceTarget},
};
use toolgate_session::{SessionContext, SubscriptionRequest};

use crate::{
    config_source::ConfigSource,
    pipeline::Answer,
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    streamed::{StandingStream, StreamBody},
};

use super::events;

/// Gateway, caller and permit of a stream.
pub(super) struct Scene<'a> {
    pub(super) gateway: &'a Arc<GatewayView>,
    pub(super) caller: &'a Caller,
    pub(super) place: &'a RequestPermit,
}

/// Opens the stream of a session.
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
    Ok(events(StreamBody::Standing(Box::new(stream))))
}

/// Subscribes a session to updates of a resource.
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

/// Opens a stream of changes. It ends with the answer to the request that opened it.
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
    // A view that was replaced before the subscription opened has not notified it.
    let id = scene.gateway.name.id.as_str();
    let view = plane.source.view();
    if !(view.gateway(id)).is_some_and(|now| Arc::ptr_eq(now, scene.gateway)) {
        opened.mark_changed()?;
    }
    let (uris, tasks) = tokio::join!(
        opened.subscribe_resources(&listen.resources, &plane.change_feeds),
        opened.follow_tasks(&listen.tasks, &plane.change_feeds),
    );
    // Nor have changes before the resources were watched.
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
    Ok(events(StreamBody::Standing(Box::new(stream))))
}

/// Returns a future that ends when the proxy drains or the token of the stream is revoked.
fn end<S: ConfigSource>(
    plane: &ProxyState<S>,
    place: &RequestPermit,
) -> impl Future<Output = ()> + Send + 'static {
    let (draining, over) = (plane.drain.draining(), place.authn_ended_static());
    async move {
        tokio::select! {
            () = draining => {}
            () = over => {}
        }
    }
}
