//! Several messages in one array, which sessions of the revision 2025-03-26 may send: each is planned and carried out as if
//! it had come alone, one after the other, and counts as one against every limit. Nothing is asked of the client meanwhile,
//! since there is no stream to ask on.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use toolgate_data_core::{
    Plan, Refusal,
    refusal::UpstreamFailure,
    session_id::{ClientCapabilities, SessionFacts},
};
use toolgate_ingress::refuse::{empty, json};
use toolgate_mcp::{
    Framing, Limits, RpcError, batch, era,
    sse::{Framer, SseLimits},
};

use crate::{
    account::Account,
    execute::{Work, execute},
    frame::{self, Received},
    limit::Place,
    pipeline::{Answer, Arrival, Refused, respond_refused},
    plane::Plane,
    presented::Session,
    source::{KeySet, Source},
};

/// The revision that has batches.
const REVISION: &str = "2025-03-26";

impl<K: KeySet> Arrival<K> {
    /// Whether it is a batch, of a session that may send some. All else is for the reader of one message to judge.
    pub(crate) fn is_batch(&self) -> bool {
        let Received::Post(bytes) = &self.received else {
            return false;
        };
        let may = |facts: &Arc<SessionFacts>| facts.version == REVISION;
        let framing = || era::classify_bodiless(frame::version(&self.head.headers));
        batch::is_array(bytes)
            && self.session.facts().is_some_and(may)
            && matches!(framing(), Framing::Legacy { .. })
    }
}

/// All of it, answered in one array.
pub(crate) async fn serve<S: Source>(
    plane: &Arc<Plane<S>>,
    mut arrival: Arrival<S::Keys>,
    account: Account,
) -> Answer {
    let body = arrival.received.posted();
    let members = match batch::split(&body, &Limits::REQUEST) {
        Ok(members) => members,
        Err(error) => return respond_refused(&Refused::unframed(error), account),
    };
    if let Session::Open(facts) = &arrival.session {
        let capabilities = ClientCapabilities::default();
        let facts = SessionFacts {
            capabilities,
            ..SessionFacts::clone(facts)
        };
        arrival.session = Session::Open(Arc::new(facts));
    }
    let mut first = Some(account);
    let mut answers = Answers::default();
    for span in members {
        let account = first.take().unwrap_or_else(|| plane.accounts.open());
        let received = Received::Post(body.slice(span.start..span.end));
        let id = received.id();
        let (answer, framed) = match member(plane, &arrival, received, account).await {
            Ok(answer) => (answer, true),
            Err((refused, account)) => {
                let framed = !matches!(refused.refusal, Refusal::Frame(_));
                (respond_refused(&refused, account), framed)
            }
        };
        // Only who asks is answered; what cannot be read may have been a question.
        if id.is_some() || !framed {
            answers.take(id.as_deref(), answer).await;
        }
    }
    answers.into_answer()
}

/// One member, in a place of its own.
async fn member<S: Source>(
    plane: &Arc<Plane<S>>,
    arrival: &Arrival<S::Keys>,
    received: Received,
    mut account: Account,
) -> Result<Answer, (Refused, Account)> {
    let place: Place = match plane.enter(&arrival.caller, account.began()) {
        Ok(place) => place,
        Err(refusal) => {
            let id = received.id();
            return Err((Refused { refusal, id }, account));
        }
    };
    let plan = match arrival.plan(&received, &mut account) {
        Ok(Plan::Initialize(_) | Plan::Listen(_)) => {
            let refusal = Refusal::InvalidRequest("this has to be sent alone, not in a batch");
            let id = received.id();
            return Err((Refused { refusal, id }, account));
        }
        Ok(plan) => plan,
        Err(refused) => return Err((refused, account)),
    };
    let work = Work {
        plan,
        received,
        session: arrival.session.clone(),
        gateway: Arc::clone(&arrival.gateway),
        caller: arrival.caller.clone(),
        events: Ok(()),
        place,
    };
    Ok(Box::pin(execute(plane, work, account)).await)
}

/// Bytes of all answers of a batch together.
const TOGETHER: usize = 16 * 1024 * 1024;

/// The answers so far.
#[derive(Default)]
struct Answers(BytesMut);

impl Answers {
    async fn take(&mut self, id: Option<&str>, answer: Answer) {
        let room = TOGETHER.saturating_sub(self.0.len());
        let read = read(answer, room).await;
        let answer =
            read.unwrap_or_else(|failure| RpcError::internal(failure.told_of("call")).to_bytes(id));
        self.0.put_u8(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(&answer);
    }

    fn into_answer(mut self) -> Answer {
        if self.0.is_empty() {
            return empty(StatusCode::ACCEPTED);
        }
        self.0.put_u8(b']');
        json(200, self.0.freeze())
    }
}

/// The one message of an answer, or the last of a stream: those before it have no place in an array.
async fn read(answer: Answer, room: usize) -> Result<Bytes, UpstreamFailure> {
    let (head, mut body) = answer.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE);
    let streamed = kind.is_some_and(|kind| kind == "text/event-stream");
    let mut framer = Framer::new(SseLimits::default());
    let (mut whole, mut last) = (BytesMut::new(), Bytes::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| UpstreamFailure::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if !streamed {
            if whole.len() + data.len() > room {
                return Err(UpstreamFailure::TooLarge);
            }
            whole.extend_from_slice(&data);
            continue;
        }
        framer
            .push(&data)
            .map_err(|_large| UpstreamFailure::TooLarge)?;
        while let Some(event) = framer.next_event() {
            if event.is_message() && !event.data.is_empty() {
                last = event.data;
            }
        }
    }
    let message = if streamed { last } else { whole.freeze() };
    match message.len() {
        0 => Err(UpstreamFailure::Broken),
        length if length > room => Err(UpstreamFailure::TooLarge),
        _ => Ok(message),
    }
}
