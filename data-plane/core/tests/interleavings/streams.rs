//! Sessions of legacy clients, their streams on any proxy, and what is said on them.

use toolgate_data_core::{
    call,
    session::{Event, Output},
};

use crate::world::{SessionName, World, principal_of};

impl World {
    /// A GET on some proxy.
    pub fn listen(&mut self, client: usize, proxy: usize) {
        let name = self.session_of(client % 2);
        self.on_session(proxy, name, client % 2, Event::Open);
    }

    /// Something to say to a client, or an update of what it watches.
    pub fn notify(&mut self, client: usize, proxy: usize, update: bool) {
        let client = client % 2;
        let (name, number) = (self.session_of(client), self.next());
        let text = format!("{number} for {}", principal_of(client));
        let event = if update {
            Event::Updated(text.into())
        } else {
            Event::Send(text.into_bytes().into())
        };
        self.on_session(proxy, name, client, event);
    }

    /// All connections of a client are gone.
    pub fn hang_up(&mut self, client: usize) {
        let name = self.session_of(client);
        for proxy in 0..self.proxies.len() {
            let Some(conversation) = self.proxies[proxy].sessions.get_mut(&name) else {
                continue;
            };
            for stream in std::mem::take(&mut conversation.streams) {
                self.on_session(proxy, name, client, Event::Closed(stream));
            }
        }
    }

    /// DELETE: the session ends on every proxy, and the calls that wait for its client are cancelled.
    pub fn delete(&mut self, client: usize) {
        let client = client % 2;
        let name = self.session_of(client);
        self.sessions[client] = None;
        for proxy in 0..self.proxies.len() {
            if self.proxies[proxy].sessions.contains_key(&name) {
                self.on_session(proxy, name, client, Event::Terminate);
            }
            let theirs = |waiting: &crate::world::Waiting| waiting.session == name;
            let elicitations = &mut self.proxies[proxy].elicitations;
            let over: Vec<_> = elicitations
                .extract_if(.., |_, waiting| theirs(waiting))
                .collect();
            for (_, waiting) in over {
                self.feed(waiting.call, call::CallEvent::Cancel);
            }
        }
    }

    /// Pauses of sessions are over.
    pub fn settle(&mut self, proxy: usize) {
        let sessions = self.proxies[proxy].sessions.iter_mut();
        let due: Vec<_> = sessions
            .filter_map(|(name, conversation)| {
                std::mem::take(&mut conversation.settling).then_some((*name, conversation.client))
            })
            .collect();
        for (name, client) in due {
            self.on_session(proxy, name, client, Event::DelayElapsed);
        }
    }

    fn on_session(&mut self, proxy: usize, name: SessionName, client: usize, event: Event) {
        let sessions = &mut self.proxies[proxy].sessions;
        let conversation = sessions.entry(name).or_default();
        conversation.client = client;
        let mut over = false;
        for output in conversation.machine.on(event) {
            assert!(!over, "something after the end");
            match output {
                Output::Opened(stream) => assert!(conversation.streams.insert(stream)),
                Output::Write(stream, message) => {
                    assert!(conversation.streams.contains(&stream), "no such stream");
                    let text = String::from_utf8_lossy(&message);
                    let theirs = format!("for {}", principal_of(client));
                    assert!(text.contains(&theirs), "{text} is not theirs");
                    assert!(self.heard.insert(message.to_vec()), "{text} twice");
                }
                Output::Close(stream) => assert!(conversation.streams.remove(&stream)),
                Output::StartDelay(_) => conversation.settling = true,
                Output::Dropped(_) => {}
                Output::Stop => over = true,
            }
        }
        if over {
            // What is still on its way to it when it ends.
            for late in [Event::Send("late".into()), Event::Open, Event::Terminate] {
                let nothing = conversation.machine.on(late).is_empty();
                assert!(nothing, "something after the end");
            }
            assert!(
                conversation.streams.is_empty(),
                "a stream without a session"
            );
            self.proxies[proxy].sessions.remove(&name);
        }
    }
}
