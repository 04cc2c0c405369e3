//! Suspended calls of modern clients, and clients that come back with the states they hold.

use toolgate_data_core::{
    call::{
        CallEvent, ContinuedCall,
        suspended::{
            SUSPENSION_LIFETIME, SuspensionEvent, SuspensionHandle, SuspensionMachine,
            SuspensionOutput,
        },
    },
    rewrite::ClientResponse,
};
use toolgate_mcp::text::quote;

use crate::{
    plans::CallRequest,
    world::{CallId, PROXIES, SuspendedClientCall, World, principal_of},
};

impl World {
    /// The call is suspended, and its client answered with a ticket; now and then there is no room.
    pub fn suspend(&mut self, id: CallId, reply: &ClientResponse) -> Option<CallEvent> {
        if self.next().is_multiple_of(13) {
            return Some(CallEvent::SuspensionRefused);
        }
        let mut call = self.calls.remove(&id).unwrap();
        let handle = call.handle.expect("suspended without a ticket");
        let request = call.request.take().unwrap();
        let suspended = SuspendedClientCall {
            machine: SuspensionMachine::new(self.now),
            principal: principal_of(call.client),
            call: id,
            until: self.now.after(SUSPENSION_LIFETIME),
        };
        let before = self.proxies[call.proxy].suspended.insert(handle, suspended);
        assert!(before.is_none(), "two calls of one handle");
        self.keep_state(&call, reply);
        self.end(request, call.client, call.work);
        (call.suspended, call.gone) = (true, false);
        self.calls.insert(id, call);
        None
    }

    /// A client comes back with a state: its own, a used one, another's; perhaps with another request than the first.
    /// It answers as many elicitations as it likes, and is asked the rest again.
    pub fn retry(&mut self, client: usize, which: usize, answers: usize, same: bool) {
        if self.states.is_empty() {
            return;
        }
        let client = 2 + client % 2;
        let at = self.states.len() - 1 - which % self.states.len();
        let state = self.states[at].clone();
        let work = if same { state.work } else { self.next() };
        let number = self.request(client, work);
        let by = principal_of(client);
        let taken = state.keys.iter().take(answers);
        let taken: Vec<String> = taken
            .map(|key| format!(r#"{}:{{"by":{by},"action":"accept"}}"#, quote(key)))
            .collect();
        let extra = format!(
            r#","requestState":{},"inputResponses":{{{}}}"#,
            quote(&state.text),
            taken.join(",")
        );
        let request = CallRequest {
            client,
            legacy: state.legacy,
            number,
            work,
            extra: &extra,
        };
        let Some((plan, body)) = request.plan(&self.cipher, None, self.now) else {
            return self.end(number, client, work);
        };
        assert_eq!(
            principal_of(state.client),
            by,
            "a state opened for another principal"
        );
        assert!(same, "a state of another request");
        let Some(retry) = plan.continuation.clone() else {
            // The server has not run it, or keeps its state with the client: the call is sent.
            self.seen.insert("sent again by the client");
            return self.begin(number, work, client, which % PROXIES, (plan, body));
        };
        let owner = |proxy: &crate::world::Proxy| proxy.name == retry.ticket.owner.proxy;
        let owner = self.proxies.iter().position(owner).unwrap();
        let handle = retry.ticket.handle;
        if let Some(suspended) = self.proxies[owner].suspended.get(&handle) {
            assert_eq!(
                suspended.principal, by,
                "a ticket opened for another principal"
            );
        }
        let Some(id) = self.on_suspended(owner, handle, SuspensionEvent::Claimed(number)) else {
            // It is told that there is no such call; nothing runs in its stead.
            return self.end(number, client, work);
        };
        self.seen.insert("continued");
        let call = self.calls.get_mut(&id).unwrap();
        assert_eq!((call.work, call.request), (work, None));
        assert_eq!(principal_of(call.client), by);
        (call.request, call.client, call.suspended) = (Some(number), client, false);
        (call.plan, call.body) = (plan.clone(), body.clone());
        let open = call.awaited.len();
        let responses = retry
            .responses
            .map_or_else(Default::default, |span| span.slice_bytes(&body));
        let log_level = plan.effective_log_level(None);
        let continued = ContinuedCall {
            plan,
            log_level,
            responses,
        };
        self.feed(id, CallEvent::Continued(continued));
        if let Some(call) = self.calls.get(&id).filter(|call| call.suspended) {
            let left = open - taken.len();
            assert_eq!(call.awaited.len(), left, "suspended for what was answered");
            assert!(left > 0, "suspended for nothing");
        }
    }

    /// The call that is handed over, if it is.
    pub fn on_suspended(
        &mut self,
        proxy: usize,
        handle: SuspensionHandle,
        event: SuspensionEvent<u64>,
    ) -> Option<CallId> {
        let suspended = self.proxies[proxy].suspended.get_mut(&handle)?;
        let (call, until) = (suspended.call, suspended.until);
        let time = matches!(event, SuspensionEvent::Tick(_));
        let mut taken = None;
        for output in suspended.machine.on(event) {
            match output {
                SuspensionOutput::HandOver(_) => taken = Some(call),
                SuspensionOutput::Deny(_) => {}
                SuspensionOutput::Cancel => {
                    assert!(!time || until <= self.now, "cancelled before its time");
                    self.drop_call(call);
                }
                SuspensionOutput::Stop => {
                    let gone = self.proxies[proxy].suspended.remove(&handle);
                    // A claim at the same time finds it gone.
                    let late = gone.unwrap().machine.on(SuspensionEvent::Claimed(0));
                    assert_eq!(late, [SuspensionOutput::Deny(0)], "handed out again");
                }
            }
        }
        taken
    }
}
