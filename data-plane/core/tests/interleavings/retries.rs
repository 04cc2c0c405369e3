//! Parked calls of modern clients, and who comes back with which ticket.

use std::collections::BTreeSet;

use toolgate_data_core::{
    OwningProxy,
    parked::{Event, Handle, LIFE, Output, ParkedCall, Ticket, digest},
};
use toolgate_model::Digest;

use crate::world::{CallId, Standing, World, principal_of};

fn digest_of(work: u64) -> Digest {
    let arguments = format!(r#"{{"work":{work}}}"#);
    digest("files", "tools/call", "files__read", arguments.as_bytes()).unwrap()
}

impl World {
    /// The call stands still; its client is answered with the questions and a ticket.
    pub fn park(&mut self, id: CallId, questions: BTreeSet<u64>) {
        let (handle, nonce): (Handle, _) = (self.random(), self.nonce());
        let call = self.calls.get_mut(&id).unwrap();
        call.parked = questions;
        let request = call.request.take().unwrap();
        let (client, work, proxy) = (call.client, call.work, call.proxy);
        let standing = Standing {
            machine: ParkedCall::new(self.now),
            principal: principal_of(client),
            call: id,
            until: self.now.after(LIFE),
        };
        self.proxies[proxy].parked.insert(handle, standing);
        let ticket = Ticket {
            handle,
            request: digest_of(work),
            home: OwningProxy::new(self.proxies[proxy].name.clone(), None),
        };
        let text = ticket.seal(&self.sealer, self.binding(client), &nonce);
        self.tickets.push((text, work));
        self.end(request, client, work);
    }

    /// A client comes back with a ticket: its own, a used one, another's; perhaps with another request than the first. It
    /// answers as many questions as it likes, and is asked the rest again.
    pub fn retry(&mut self, client: usize, which: usize, answers: usize, same: bool) {
        if self.tickets.is_empty() {
            return;
        }
        let client = 2 + client % 2;
        let at = self.tickets.len() - 1 - which % self.tickets.len();
        let (text, of) = self.tickets[at].clone();
        let work = if same { of } else { self.next() };
        let request = self.request(client, work);
        let opened = Ticket::open(&self.sealer, self.binding(client), &text);
        let ticket = opened.filter(|ticket| ticket.request == digest_of(work));
        let taken = ticket.and_then(|ticket| {
            let home = |proxy: &crate::world::Proxy| proxy.name == ticket.home.proxy;
            let home = self.proxies.iter().position(home)?;
            let standing = self.proxies[home].parked.get(&ticket.handle)?;
            let theirs = standing.principal == principal_of(client);
            assert!(theirs, "a ticket opened for another principal");
            self.on_parked(home, ticket.handle, Event::Claimed(request))
        });
        let Some(id) = taken else {
            // It is told that there is no such call; nothing runs in its stead.
            return self.end(request, client, work);
        };
        let call = self.calls.get_mut(&id).unwrap();
        assert_eq!((call.work, call.request), (work, None));
        assert_eq!(principal_of(call.client), principal_of(client));
        call.request = Some(request);
        let open = std::mem::take(&mut call.parked);
        assert!(!open.is_empty(), "it waited for nothing");
        let left: BTreeSet<u64> = open.into_iter().skip(answers).collect();
        if !left.is_empty() {
            self.park(id, left);
        }
    }

    /// The call that is handed over, if it is.
    pub fn on_parked(&mut self, proxy: usize, handle: Handle, event: Event<u64>) -> Option<CallId> {
        let standing = self.proxies[proxy].parked.get_mut(&handle)?;
        let (call, until) = (standing.call, standing.until);
        let time = matches!(event, Event::Tick(_));
        let mut taken = None;
        for output in standing.machine.on(event) {
            match output {
                Output::HandOver(_) => taken = Some(call),
                Output::Deny(_) => {}
                Output::LetGo => {
                    assert!(!time || until <= self.now, "let go before its time");
                    self.close_call(call);
                }
                Output::Stop => {
                    let gone = self.proxies[proxy].parked.remove(&handle);
                    // Who comes at the same time finds it gone.
                    let late = gone.unwrap().machine.on(Event::Claimed(0));
                    assert_eq!(late, [Output::Deny(0)], "handed out again");
                }
            }
        }
        taken
    }
}
