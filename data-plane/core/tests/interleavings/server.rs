//! The servers: how they take calls, what they send ahead of an answer, and their answers.

use toolgate_data_core::{
    call::{BodyKind, CallEvent, ElicitationId, UpstreamEnd, UpstreamHead},
    refusal::UpstreamFailure,
};
use toolgate_mcp::text::quote;

use crate::world::{Call, CallId, Waiting, World, is_legacy, principal_of};

/// Fate of a request at its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    NotSent,
    Lost,
    Spurious404,
    Status500,
    SessionEnded,
    Urls,
    Broken,
    Empty,
    Other,
    Document,
    Stream,
}

impl Arrival {
    fn of(how: u8) -> Self {
        match how {
            0 => Self::NotSent,
            1 => Self::Lost,
            2 => Self::Spurious404,
            3 => Self::Status500,
            4 => Self::SessionEnded,
            5 => Self::Urls,
            6 => Self::Broken,
            7 => Self::Empty,
            8 => Self::Other,
            9 | 10 => Self::Document,
            _ => Self::Stream,
        }
    }
}

impl World {
    /// Delivers a call to its server. A legacy server that does not know the session responds with 404 and does not run
    /// it.
    pub fn arrive(&mut self, which: usize, how: u8) {
        let on_the_way = self.calls.iter().filter(|(_, call)| call.sent);
        let all: Vec<CallId> = on_the_way.map(|(id, _)| *id).collect();
        let Some(id) = which.checked_rem(all.len()).map(|at| all[at]) else {
            return;
        };
        let mut arrival = Arrival::of(how);
        let upstream_id = self.next();
        let call = self.calls.get_mut(&id).unwrap();
        (call.sent, call.upstream_id, call.did_not_run) = (false, upstream_id, false);
        let legacy = call.legacy;
        if !legacy && matches!(arrival, Arrival::SessionEnded | Arrival::Urls) {
            arrival = Arrival::Document;
        }
        if arrival == Arrival::NotSent {
            call.did_not_run = true;
            return self.unsent(id, UpstreamFailure::Unreachable, true);
        }
        if legacy {
            let principal = principal_of(call.client);
            let session = call.link.as_ref().unwrap().id.clone();
            if arrival == Arrival::SessionEnded {
                self.server.live.remove(&session);
            }
            match self.server.live.get(&session) {
                Some(owner) => assert_eq!(*owner, principal, "a session of another"),
                None => {
                    call.did_not_run = true;
                    let head = if arrival == Arrival::SessionEnded {
                        UpstreamHead::SessionEnded
                    } else {
                        response(upstream_id, 404, true, BodyKind::Other)
                    };
                    return self.feed(id, CallEvent::UpstreamHead(head));
                }
            }
        }
        self.arrived(id, arrival);
    }

    fn unsent(&mut self, id: CallId, failure: UpstreamFailure, retryable: bool) {
        let head = UpstreamHead::Failed { failure, retryable };
        self.feed(id, CallEvent::UpstreamHead(head));
    }

    fn arrived(&mut self, id: CallId, arrival: Arrival) {
        let call = self.calls.get_mut(&id).unwrap();
        let (legacy, own) = (call.legacy, call.upstream_id);
        if legacy && arrival != Arrival::Urls {
            *self.ran.entry(call.work).or_default() += 1;
        }
        let (status, body) = match arrival {
            Arrival::Lost => return self.unsent(id, UpstreamFailure::Broken, false),
            Arrival::Spurious404 => (404, BodyKind::Other),
            Arrival::Status500 => (500, BodyKind::Document),
            Arrival::Empty => (202, BodyKind::Empty),
            Arrival::Other => (200, BodyKind::Other),
            Arrival::Stream => (200, BodyKind::Stream),
            Arrival::NotSent
            | Arrival::SessionEnded
            | Arrival::Urls
            | Arrival::Broken
            | Arrival::Document => (200, BodyKind::Document),
        };
        call.running = body == BodyKind::Stream;
        self.feed(
            id,
            CallEvent::UpstreamHead(response(own, status, legacy, body)),
        );
        if matches!(arrival, Arrival::Broken | Arrival::Status500) {
            let end = UpstreamEnd::Failed(UpstreamFailure::Broken);
            self.feed(id, CallEvent::UpstreamEnd(end));
        } else if arrival == Arrival::Status500 {
            // The body decides: here it is no answer of the call.
            self.feed(id, CallEvent::UpstreamMessage("oops".into()));
        } else if arrival == Arrival::Document {
            self.answered(id);
        } else if arrival == Arrival::Urls {
            let call = &self.calls[&id];
            let by = principal_of(call.client);
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":{own},"error":{{"code":-32042,"message":"go","data":{{"elicitations":[{{"mode":"url","elicitationId":"e","url":"https://x.example/","message":"for {by}"}}]}}}}}}"#
            );
            self.feed(id, CallEvent::UpstreamMessage(text.into()));
        }
    }

    /// Selects a call whose server streams.
    fn running(&self, which: usize) -> Option<CallId> {
        let talks = |call: &Call| call.running && !call.suspended;
        let running = self.calls.iter().filter(|(_, call)| talks(call));
        let all: Vec<CallId> = running.map(|(id, _)| *id).collect();
        all.get(which.checked_rem(all.len())?).copied()
    }

    /// The server answers on its stream.
    pub fn finish(&mut self, which: usize) {
        if let Some(id) = self.running(which) {
            self.answered(id);
            assert!(!self.calls.contains_key(&id), "call {id} has its answer");
        }
    }

    fn answered(&mut self, id: CallId) {
        let call = self.calls.get_mut(&id).unwrap();
        call.running = false;
        if !call.legacy {
            // A modern server does the work when it has all that it requested.
            *self.ran.entry(call.work).or_default() += 1;
        }
        let (own, work, by) = (call.upstream_id, call.work, principal_of(call.client));
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{own},"result":{{"content":[{{"type":"text","text":"work {work} for {by}"}}]}}}}"#
        );
        self.feed(id, CallEvent::UpstreamMessage(text.into()));
    }

    /// Sends a request of a server for the client: of a legacy server with an id that may be in use, of a modern server
    /// as a round.
    pub fn ask(&mut self, which: usize, number: u64) {
        let Some(id) = self.running(which) else {
            return;
        };
        let now = self.now;
        let call = self.calls.get_mut(&id).unwrap();
        let (own, by) = (call.upstream_id, principal_of(call.client));
        let params = format!(r#"{{"message":"for {by}"}}"#);
        let text = if call.legacy {
            call.awaited.insert(number);
            call.asked = now;
            format!(
                r#"{{"jsonrpc":"2.0","id":{number},"method":"elicitation/create","params":{params}}}"#
            )
        } else {
            call.running = false;
            let keys = (0..number.min(3)).map(|key| key.to_string());
            if is_legacy(call.client) {
                call.round = Some(keys.clone().collect());
            }
            let requests = keys.map(|key| {
                format!(r#""{key}":{{"method":"elicitation/create","params":{params}}}"#)
            });
            let requests: Vec<String> = requests.collect();
            format!(
                r#"{{"jsonrpc":"2.0","id":{own},"result":{{"resultType":"input_required","inputRequests":{{{}}},"requestState":"s"}}}}"#,
                requests.join(",")
            )
        };
        self.feed(id, CallEvent::UpstreamMessage(text.into()));
    }

    /// A legacy server sends more requests than may be pending.
    pub fn ask_much(&mut self, which: usize) {
        let call = self.running(which);
        for number in 100..120 {
            // It answers nothing in between, and a suspended call hears nothing.
            if call.is_none() || self.running(which) != call {
                return;
            }
            self.ask(which, number);
        }
    }

    /// A legacy server withdraws one of its requests.
    pub fn withdraw(&mut self, which: usize) {
        let Some(id) = self.running(which) else {
            return;
        };
        let call = self.calls.get_mut(&id).unwrap();
        let Some(number) = call.awaited.pop_first() else {
            return;
        };
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number}}}}}"#
        );
        self.feed(id, CallEvent::UpstreamMessage(text.into()));
    }

    /// A server sends notifications ahead of its answer: few or a flood.
    pub fn narrate(&mut self, which: usize, many: bool) {
        for n in 0..if many { 40 } else { 1 } {
            let Some(id) = self.running(which) else {
                return;
            };
            let call = self.calls.get_mut(&id).unwrap();
            call.progress += 1;
            let (own, progress) = (call.upstream_id, call.progress);
            let progress = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{own},"progress":{progress}}}}}"#
            );
            let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
            let ping = r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#;
            let text = match n % 3 {
                0 => progress,
                1 => log.to_owned(),
                _ => ping.to_owned(),
            };
            self.feed(id, CallEvent::UpstreamMessage(text.into()));
        }
    }

    /// A stream breaks off, or turns out to make no sense.
    pub fn interrupt(&mut self, which: usize, resumable: bool, sense: bool) {
        let Some(id) = self.running(which) else {
            return;
        };
        self.resumable = resumable;
        let end = UpstreamEnd::Interrupted(UpstreamFailure::Broken);
        self.feed(
            id,
            match sense {
                true => CallEvent::UpstreamEnd(end),
                false => CallEvent::UpstreamMessage("{".into()),
            },
        );
        let goes_on = sense && resumable;
        assert_eq!(self.calls.contains_key(&id), goes_on, "call {id}");
    }

    /// A client answers an elicitation, its own or any that was ever sent, well or badly.
    pub fn answer(&mut self, client: usize, which: usize, how: u8) {
        let client = client % 2;
        if self.asked.is_empty() {
            return;
        }
        // The latest ones may be open.
        let at = self.asked.len() - 1 - which % self.asked.len();
        let (id, asked) = self.asked[at].clone();
        let session = self.session_of(client);
        let literal = quote(&id.name());
        let id = ElicitationId::parse(&literal).unwrap();
        let owner = self.proxies.iter().position(|proxy| proxy.name == id.proxy);
        let elicitations = &mut self.proxies[owner.unwrap()].elicitations;
        let theirs = |waiting: &Waiting| {
            waiting.session == session && waiting.principal == principal_of(client)
        };
        if !elicitations.get(&id.random).is_some_and(theirs) {
            return;
        }
        assert_eq!(asked, client, "another client's elicitation");
        let waiting = elicitations.remove(&id.random).unwrap();
        let by = principal_of(client);
        let body = match how {
            0 => r#""error":{"code":-1,"message":"no"}"#.to_owned(),
            1 => r#""error":1,"result":{}"#.to_owned(),
            _ => format!(r#""result":{{"by":{by}}}"#),
        };
        let frame = format!(r#"{{"jsonrpc":"2.0","id":{literal},{body}}}"#);
        self.feed(
            waiting.call,
            CallEvent::ElicitationResponse(id, frame.into()),
        );
    }
}

fn response(id: u64, status: u16, in_session: bool, body: BodyKind) -> UpstreamHead {
    UpstreamHead::Response {
        id,
        status,
        in_session,
        body,
    }
}
