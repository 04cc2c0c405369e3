//! A call whose server streams: each message is rewritten and passed on as it comes, no faster than the client takes
//! them, with comments in between so that nobody on the way takes silence for death.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::sleep,
};
use toolgate_client::EventStream;
use toolgate_data_core::{
    refusal::UpstreamFailure,
    rewrite::{Relay, Relayed, Reply},
};
use toolgate_mcp::sse;
use toolgate_runtime::Drain;

use crate::{
    call::{Waiter, concluded},
    failure,
    flight::Flight,
};

/// Messages on their way to a client that reads slowly; more wait at the server.
const AHEAD: usize = 2;

/// Silence after which a comment is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The body of a streamed answer: server-sent events.
#[derive(Debug)]
pub struct CallStream {
    events: Receiver<Bytes>,
}

/// What is needed to tell a client what its server says.
pub(crate) struct Telling {
    pub(crate) relay: Relay,
    pub(crate) flight: Flight,
    /// Whether the call goes on when the client leaves.
    pub(crate) persists: bool,
}

/// Passes on what `events` bring, beginning with `first`.
pub(crate) fn tell<W: Waiter>(
    telling: Telling,
    events: Box<EventStream>,
    first: Option<Bytes>,
    waiter: W,
    drain: &Drain,
) -> CallStream {
    let (sink, receiver) = mpsc::channel(AHEAD);
    drop(drain.spawn("streamed call", async move {
        let first = first.map_or(Bytes::from_static(sse::KEEP_ALIVE), |first| {
            sse::event(&first)
        });
        // The channel is empty: there is room.
        let _room = sink.try_send(first);
        if let Some(reply) = telling.run(*events, &sink, &waiter).await {
            let outcome = reply.outcome;
            let _gone = sink.send(sse::event(&reply.body.to_bytes())).await;
            waiter.ended(outcome);
        }
    }));
    CallStream { events: receiver }
}

/// What happens next on a stream.
enum Next {
    Relayed(Relayed),
    Left,
    Cancelled,
    Silence,
}

/// What became of a message for the client.
enum Passed {
    On,
    Left,
    Cancelled,
}

/// Waits until the client takes the message, goes away, or takes its call back.
async fn pass_on(
    sink: &Sender<Bytes>,
    event: Bytes,
    cancelled: impl Future<Output = ()>,
) -> Passed {
    tokio::select! {
        biased;
        sent = sink.send(event) => if sent.is_ok() { Passed::On } else { Passed::Left },
        () = cancelled => Passed::Cancelled,
    }
}

impl Telling {
    /// The answer; none if nobody waits for it any more.
    async fn run(
        mut self,
        mut events: EventStream,
        sink: &Sender<Bytes>,
        waiter: &impl Waiter,
    ) -> Option<Reply> {
        let mut attached = true;
        loop {
            let cancelled = waiter.cancelled();
            match self.next(&mut events, sink, attached, cancelled).await {
                Next::Relayed(Relayed::Final(reply)) => {
                    return Some(concluded(&mut self.flight, reply, true, &self.relay));
                }
                Next::Relayed(Relayed::Forward(message)) if attached => {
                    let cancelled = waiter.cancelled();
                    match pass_on(sink, sse::event(&message), cancelled).await {
                        Passed::On => {}
                        Passed::Left if self.persists => attached = false,
                        // A slow client leaves, or takes its call back, while something waits for it to read.
                        Passed::Left | Passed::Cancelled => return None,
                    }
                }
                Next::Relayed(Relayed::Respond(message)) => self.flight.respond(message),
                Next::Relayed(Relayed::Forward(_) | Relayed::Ignore) => {}
                Next::Left if self.persists => attached = false,
                // Letting go of the flight takes the call back.
                Next::Left | Next::Cancelled => return None,
                Next::Silence => {
                    // Full means that something better is on its way.
                    let _full = sink.try_send(Bytes::from_static(sse::KEEP_ALIVE));
                }
            }
        }
    }

    async fn next(
        &mut self,
        events: &mut EventStream,
        sink: &Sender<Bytes>,
        attached: bool,
        cancelled: impl Future<Output = ()>,
    ) -> Next {
        let message = tokio::select! {
            biased;
            () = cancelled => return Next::Cancelled,
            () = sink.closed(), if attached => return Next::Left,
            message = events.message() => message,
            () = sleep(KEEP_ALIVE), if attached => return Next::Silence,
        };
        Next::Relayed(match message {
            Ok(Some(message)) => self.relay.on(&message),
            Ok(None) => Relayed::Final(self.relay.fail(UpstreamFailure::Broken)),
            Err(error) => Relayed::Final(self.relay.fail(failure::of(&error))),
        })
    }
}

impl http_body::Body for CallStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = self.events.poll_recv(cx);
        event.map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}
