//! Questions of servers in the middle of calls, and what clients make of them.

use std::time::Duration;

use toolgate_data_core::{
    asking::{Event, Output, PATIENCE, Question, QuestionId},
    gathering::{GATHER, Gathering},
};
use toolgate_mcp::{object, text::quote};

use crate::world::{Call, CallId, Waiting, World, is_legacy, principal_of};

impl World {
    /// A server asks: a legacy one with an id of its own, perhaps one that it has used, a modern one a round at a time.
    pub fn ask(&mut self, which: usize, id: u64) {
        let Some(call) = self.running(which) else {
            return;
        };
        let found = &self.calls[&call];
        match (is_legacy(found.client), found.legacy) {
            (true, true) => {
                let own = Some(self.name(call));
                let question = self.question(call);
                self.calls.get_mut(&call).unwrap().awaited.insert(id);
                let id = id.to_string().into();
                self.on_asking(call, Event::Asked { id, question, own });
            }
            (true, false) => {
                let keys = (0..=id).map(|key| {
                    let own = Some(self.name(call));
                    (key.to_string().into(), self.question(call), own)
                });
                let round = keys.collect();
                self.calls.get_mut(&call).unwrap().running = false;
                self.on_asking(call, Event::Required(round));
            }
            (false, true) => {
                // Some of them twice, which are asked once.
                let mut gathering = Gathering::default();
                for id in (0..=id).chain(0..=id / 2) {
                    let question = self.question(call);
                    let full = gathering.asked(id.to_string().into(), question, Duration::ZERO);
                    assert_eq!(full, None);
                }
                let round = gathering.over(GATHER).unwrap().into_iter();
                let round: Vec<u64> = round.map(|(id, _)| id.parse().unwrap()).collect();
                assert_eq!(round, (0..=id).collect::<Vec<_>>());
                self.park(call, round.into_iter().collect());
            }
            // Passes as it is: nothing of it is kept here.
            (false, false) => {}
        }
    }

    /// A server no longer wants the answer to something that it asked.
    pub fn withdraw(&mut self, which: usize) {
        let asked = |(id, call): (&CallId, &Call)| {
            let id = *id;
            let awaited: Vec<u64> = call.awaited.iter().copied().collect();
            awaited.into_iter().map(move |question| (id, question))
        };
        let all: Vec<(CallId, u64)> = self.calls.iter().flat_map(asked).collect();
        let Some((call, question)) = which.checked_rem(all.len()).map(|at| all[at]) else {
            return;
        };
        self.calls.get_mut(&call).unwrap().awaited.remove(&question);
        self.on_asking(call, Event::Withdrawn(question.to_string().into()));
    }

    /// A client answers a question, its own or any that was ever asked, well or badly.
    pub fn answer(&mut self, client: usize, which: usize, how: u8) {
        let client = client % 2;
        if self.asked.is_empty() {
            return;
        }
        // The latest are those that may be open.
        let at = self.asked.len() - 1 - which % self.asked.len();
        let (id, asked) = self.asked[at].clone();
        let session = self.session_of(client);
        let literal = quote(&id.name());
        let id = QuestionId::parse(&literal).unwrap();
        let home = self.proxies.iter().position(|proxy| proxy.name == id.proxy);
        let questions = &mut self.proxies[home.unwrap()].questions;
        let theirs = |waiting: &Waiting| {
            waiting.session == session && waiting.principal == principal_of(client)
        };
        if !questions.get(&id.random).is_some_and(theirs) {
            return;
        }
        assert_eq!(asked, client, "another client's question");
        let waiting = questions.remove(&id.random).unwrap();
        let by = principal_of(client);
        let body = match how {
            0 => r#""error":{"code":-1,"message":"no"}"#.to_owned(),
            1 => r#""error":1,"result":{}"#.to_owned(),
            _ => format!(r#""result":{{"by":{by}}}"#),
        };
        let frame = format!(r#"{{"jsonrpc":"2.0","id":{literal},{body}}}"#);
        self.on_asking(waiting.call, Event::Answered(id, frame.into()));
    }

    pub fn on_asking(&mut self, id: CallId, event: Event) {
        let now = self.now;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        for output in call.asking.on(event, now) {
            match output {
                Output::Say(message) => self.said(id, &message),
                Output::Tell(message) => self.told(id, &message),
                Output::Close(own) => {
                    let proxy = self.calls[&id].proxy;
                    self.proxies[proxy].questions.remove(&own.random);
                }
                Output::Again(responses) => {
                    let call = self.calls.get_mut(&id).unwrap();
                    assert!(!call.running, "made again while it runs");
                    call.running = true;
                    let by = principal_of(call.client);
                    for member in object::members(&responses.unwrap()) {
                        let found = object::get(member.value, "by");
                        let right = found.is_none_or(|found| found == by.to_string().as_bytes());
                        assert!(right, "another principal's answer");
                    }
                }
                Output::Fail => {
                    let questions = &self.proxies[self.calls[&id].proxy].questions;
                    let waits = questions.values().any(|waiting| waiting.call == id);
                    assert!(!waits, "a question of a call that has failed");
                    self.close_call(id);
                }
            }
        }
    }

    fn question(&self, call: CallId) -> Question {
        let call = &self.calls[&call];
        let params = format!(r#"{{"message":"of {}"}}"#, principal_of(call.client));
        Question::read("elicitation/create", Some(params.as_bytes())).unwrap()
    }

    fn name(&mut self, call: CallId) -> QuestionId {
        let random = self.random();
        let (client, proxy) = (self.calls[&call].client, self.calls[&call].proxy);
        let session = self.session_of(client);
        let waiting = Waiting {
            session,
            principal: principal_of(client),
            call,
            until: self.now.after(PATIENCE),
        };
        let proxy = &mut self.proxies[proxy];
        proxy.questions.insert(random, waiting);
        let proxy = proxy.name.clone();
        QuestionId { proxy, random }
    }

    /// The client of the call sees this.
    fn said(&mut self, call: CallId, message: &[u8]) {
        let client = self.calls[&call].client;
        let Some(id) = object::get(message, "id") else {
            return;
        };
        let params = object::get(message, "params").unwrap();
        let expected = format!(r#""[files] of {}""#, principal_of(client));
        assert_eq!(object::get(params, "message"), Some(expected.as_bytes()));
        let id = QuestionId::parse(std::str::from_utf8(id).unwrap()).unwrap();
        assert!(self.asked.iter().all(|(known, _)| *known != id));
        self.asked.push((id, client));
    }

    /// The server of the call gets this answer to its question.
    fn told(&mut self, call: CallId, message: &[u8]) {
        let call = self.calls.get_mut(&call).unwrap();
        let id = std::str::from_utf8(object::get(message, "id").unwrap()).unwrap();
        let awaited = call.awaited.remove(&id.parse().unwrap());
        assert!(awaited, "a question was answered twice");
        if let Some(result) = object::get(message, "result") {
            let by = principal_of(call.client).to_string();
            assert_eq!(object::get(result, "by"), Some(by.as_bytes()));
        }
    }
}
