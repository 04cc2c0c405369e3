//! What a legacy server says on the stream of a link: its requests belong to the one call that is in flight there, or to
//! nobody. Listened to only on links whose server may ask something, and before the first call there is made: a server
//! keeps nothing for a stream that is opened later.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use toolgate_client::{EventStream, open_stream};
use toolgate_data_core::{
    port::UpstreamSessionHandle, rewrite::server_request_response,
    session::in_flight_calls::CallGeneration,
};
use toolgate_mcp::{
    FrameLimits, method,
    server_message::{ServerMessageBody, scan},
};
use toolgate_runtime::Drain;

use crate::{
    flight::session_headers,
    refuse::refuse,
    station::Station,
    upstream::{Presented, Target},
};

/// How often it is looked whether the link still stands.
const LOOK: Duration = Duration::from_secs(30);

/// After a stream that ended, before another is opened.
const PAUSE: Duration = Duration::from_secs(1);

/// A call waits no longer than this for the stream to be open.
const HEAD_START: Duration = Duration::from_millis(500);

/// Whoever listens on one link.
struct Listener {
    link: Weak<UpstreamSessionHandle>,
    station: Arc<Station<Target>>,
    presented: Arc<Presented>,
    drain: Drain,
}

/// Listens, unless somebody does already; returns when there is a stream, or it is known that there will be none.
pub(crate) async fn overhear(
    link: &Arc<UpstreamSessionHandle>,
    station: &Arc<Station<Target>>,
    presented: &Arc<Presented>,
    drain: &Drain,
) {
    if !link.calls.listen() {
        return;
    }
    let listener = Listener {
        link: Arc::downgrade(link),
        station: Arc::clone(station),
        presented: Arc::clone(presented),
        drain: drain.clone(),
    };
    let settled = drain.settled();
    let (open, opened) = oneshot::channel();
    drop(drain.spawn_unguarded(async move {
        tokio::select! {
            () = settled => {}
            () = listener.run(open) => {}
        }
    }));
    // Late or never: the call is made all the same.
    let _begun = timeout(HEAD_START, opened).await;
}

/// How listening ended.
enum Ended {
    /// There is no such stream, and there will be none.
    NotOffered,
    /// While it was taken up another call began, which must not hear what was said before it: from now on, then.
    Overtaken,
    /// With the stream, or the link.
    Over,
}

impl Listener {
    async fn run(self, open: oneshot::Sender<()>) {
        let mut open = Some(open);
        loop {
            match self.listen(&mut open).await {
                // It need not be tried again.
                Ended::NotOffered => return,
                Ended::Overtaken => {}
                Ended::Over => break,
            }
        }
        sleep(PAUSE).await;
        if let Some(link) = self.link.upgrade() {
            link.calls.release_stream();
        }
    }

    /// Until the stream or the link ends.
    async fn listen(&self, open: &mut Option<oneshot::Sender<()>>) -> Ended {
        let Some(headers) = self.link.upgrade().map(|link| session_headers(&link)) else {
            return Ended::Over;
        };
        let (http, endpoint) = (&self.station.target.http, &self.presented.endpoint);
        let mut events = match open_stream(http, endpoint, headers.clone(), None).await {
            Ok(Some(events)) => events,
            Ok(None) => return Ended::NotOffered,
            Err(_gone) => return Ended::Over,
        };
        let _awaited = open.take().map(|open| open.send(()));
        loop {
            let message = tokio::select! {
                message = events.message() => message,
                () = sleep(LOOK) => match self.link.strong_count() {
                    0 => return Ended::Over,
                    _ => continue,
                },
            };
            let Some(link) = self.link.upgrade() else {
                return Ended::Over;
            };
            if EventStream::has_ended(&message) {
                // Without a call nobody is there to hear what is said: whoever comes next listens anew.
                let flying = link.calls.generation();
                drop(link);
                if flying.is_none() || !events.start_resume(http, endpoint, headers.clone()) {
                    return Ended::Over;
                }
                match self.overtaken(&mut events, flying).await {
                    Some(ended) => return ended,
                    None => continue,
                }
            }
            let Ok(Some(message)) = message else {
                return Ended::Over;
            };
            self.heard(&message, &link);
        }
    }

    /// Waits until the stream is back; how it ended, if that was for nothing.
    async fn overtaken(
        &self,
        events: &mut EventStream,
        flying: Option<CallGeneration>,
    ) -> Option<Ended> {
        if events.wait_resumed().await.is_err() {
            return Some(Ended::Over);
        }
        match self.link.upgrade() {
            Some(link) if link.calls.generation() == flying => None,
            Some(link) if link.calls.generation().is_some() => Some(Ended::Overtaken),
            Some(_) | None => Some(Ended::Over),
        }
    }

    fn heard(&self, message: &Bytes, link: &Arc<UpstreamSessionHandle>) {
        let Ok(answer) = scan(message, &FrameLimits::SERVER_MESSAGE) else {
            return;
        };
        match &answer.body {
            ServerMessageBody::Request { method, .. } => {
                let id = answer.id.map(|id| id.raw).unwrap_or_default();
                if method.as_str() == method::PING
                    || !link.calls.deliver_to_sole_call(message, true)
                {
                    self.post(link, server_request_response(method.as_str(), id));
                }
            }
            ServerMessageBody::Notification { method, .. } => {
                if matches!(method.as_str(), method::CANCELLED | method::MESSAGE) {
                    let _nobodys = link.calls.deliver_to_sole_call(message, false);
                }
            }
            ServerMessageBody::Result(_) | ServerMessageBody::Error(_) => {}
        }
    }

    fn post(&self, link: &Arc<UpstreamSessionHandle>, body: Bytes) {
        refuse(link, &self.station, &self.presented, &self.drain, body);
    }
}
