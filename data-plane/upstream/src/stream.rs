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
use toolgate_data_core::rewrite::ClientResponse;
use toolgate_mcp::sse;
use toolgate_runtime::Drain;

use crate::{
    exchange::{Exchange, Heard},
    standstill::{Settled, Standstill},
    visit::sent_away,
    waiter::Waiter,
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

/// Passes on what a call brings, beginning with `first`.
pub(crate) fn tell<W: Waiter>(
    exchange: Box<Exchange>,
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
        if let Some(reply) = Box::pin(run(exchange, &sink, &waiter)).await {
            let outcome = reply.outcome;
            let _gone = sink.send(sse::event(&reply.body.to_bytes())).await;
            waiter.ended(outcome);
        }
    }));
    CallStream { events: receiver }
}

/// What happens next on a stream.
enum Next {
    Heard(Heard),
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

/// The answer; none if nobody waits for it any more.
async fn run(
    mut exchange: Box<Exchange>,
    sink: &Sender<Bytes>,
    waiter: &impl Waiter,
) -> Option<ClientResponse> {
    let persists = exchange.persists();
    let mut attached = true;
    loop {
        match next(&mut exchange, sink, attached, waiter).await {
            Next::Heard(Heard::Final(reply)) => return Some(reply),
            Next::Heard(Heard::Asked(questions)) => {
                match Standstill::asked(exchange, questions).settle(waiter) {
                    Settled::Reply(reply) => return Some(reply),
                    Settled::GoOn(going_on) => exchange = going_on,
                }
            }
            Next::Heard(Heard::Visit(pages)) => {
                return Some(sent_away(&exchange.order, &pages, waiter));
            }
            Next::Heard(Heard::Say(message)) if attached => {
                match pass_on(sink, sse::event(&message), waiter.cancelled()).await {
                    Passed::On => {}
                    Passed::Left if persists => attached = false,
                    // A slow client leaves, or takes its call back, while something waits for it to read.
                    Passed::Left | Passed::Cancelled => return None,
                }
            }
            Next::Heard(Heard::Say(_)) => {}
            Next::Left if persists => attached = false,
            // Letting go of the call takes it back.
            Next::Left | Next::Cancelled => return None,
            Next::Silence => {
                // Full means that something better is on its way.
                let _full = sink.try_send(Bytes::from_static(sse::KEEP_ALIVE));
            }
        }
        if !attached {
            exchange.left();
        }
    }
}

async fn next(
    exchange: &mut Exchange,
    sink: &Sender<Bytes>,
    attached: bool,
    waiter: &impl Waiter,
) -> Next {
    tokio::select! {
        biased;
        () = waiter.cancelled() => Next::Cancelled,
        () = sink.closed(), if attached => Next::Left,
        heard = exchange.next(waiter) => Next::Heard(heard),
        () = sleep(KEEP_ALIVE), if attached => Next::Silence,
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
