//! Streams that stay: of a legacy session, and of a modern client that listens for changes.

use std::{future::Future, sync::Arc};

use toolgate_data_core::{
    Caller, GatewayView, Refusal,
    plan::{Listen, ResourceTarget},
    subscription,
};
use toolgate_session::{Subject, Wanted};

use crate::{
    limit::Place,
    pipeline::Answer,
    plane::Plane,
    source::Source,
    streamed::{StandingStream, Streamed},
};

use super::events;

/// Where and by whom a stream is asked for.
pub(super) struct Scene<'a> {
    pub(super) gateway: &'a Arc<GatewayView>,
    pub(super) caller: &'a Caller,
    pub(super) place: &'a Place,
}

/// The stream of a session.
pub(super) async fn session<S: Source>(
    plane: &Plane<S>,
    subject: Option<Subject<'_>>,
    events_taken: Result<(), Refusal>,
    place: &Place,
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
pub(super) async fn watch<S: Source>(
    plane: &Plane<S>,
    subject: Option<Subject<'_>>,
    target: &ResourceTarget,
) -> Result<(), Refusal> {
    let subject = subject.ok_or(Refusal::Internal)?;
    let watched = plane.sessions.watch(subject, target, &plane.listeners);
    watched.await
}

/// A stream of changes. It ends with the answer to the request that opened it.
pub(super) async fn listen<S: Source>(
    plane: &Plane<S>,
    listen: &Listen,
    scene: Scene<'_>,
    events_taken: Result<(), Refusal>,
) -> Result<Answer, Refusal> {
    events_taken?;
    if plane.drain.is_draining() {
        return Err(Refusal::Overloaded);
    }
    let opened = plane.subscriptions.open(Wanted {
        id: &listen.id,
        gateway: scene.gateway,
        caller: scene.caller,
    })?;
    // A view that came before this hears nothing of it, one that comes later does.
    let id = scene.gateway.name.id.as_str();
    let view = plane.source.view();
    if !(view.gateway(id)).is_some_and(|now| Arc::ptr_eq(now, scene.gateway)) {
        opened.missed()?;
    }
    let (uris, tasks) = tokio::join!(
        opened.watch(&listen.resources, &plane.listeners),
        opened.follow(&listen.tasks, &plane.listeners),
    );
    // Nor what was not yet watched when it came.
    let view = plane.source.view();
    opened.seen_in(&view);
    let kinds = listen.kinds;
    let honoured = subscription::Filter { kinds, uris, tasks };
    let stream = opened.acknowledge(honoured)?;
    let farewell = subscription::farewell(&listen.id, &scene.gateway.server_info);
    let stream = StandingStream::new(stream, end(plane, scene.place), Some(farewell));
    Ok(events(Streamed::Standing(Box::new(stream))))
}

/// When such a stream ends at the latest: this proxy drains, or the token that opened it is no longer good.
fn end<S: Source>(plane: &Plane<S>, place: &Place) -> impl Future<Output = ()> + Send + 'static {
    let (draining, over) = (plane.drain.draining(), place.over());
    async move {
        tokio::select! {
            () = draining => {}
            () = over => {}
        }
    }
}
