//! State of a call whose answer takes more than one message.

use std::time::Duration;

use toolgate_model::{Slug, Timestamp};

use crate::{
    call::{
        batcher::{ElicitationBatcher, ElicitationRound},
        elicitation::{Elicitation, PendingElicitations},
        event::CallTime,
        notification_limiter::NotificationLimiter,
    },
    rewrite::ServerNotification,
};

/// Streaming and elicitation state of one call.
#[derive(Debug)]
pub(super) struct ConversationState {
    pub(super) limiter: NotificationLimiter<ServerNotification>,
    /// Requests of a legacy server for the next round of its modern client.
    pub(super) batcher: ElicitationBatcher,
    /// Elicitations of a legacy client.
    pub(super) pending: PendingElicitations,
    /// Elicitations that wait for their ids.
    pub(super) registering: Option<PendingRegistration>,
    /// Elicitations of a suspended call that were not answered yet.
    pub(super) suspended: Vec<SuspendedElicitation>,
    /// `requestState` of a modern server, which goes back with the answers of the round.
    pub(super) request_state: Option<Box<str>>,
    /// `true` while the timeouts of the stream are held.
    pub(super) timeouts_held: bool,
    /// Number of elicitations that got a key so far.
    keys: u64,
}

/// Elicitations that wait for their ids.
#[derive(Debug)]
pub(super) enum PendingRegistration {
    /// A request of a legacy server: its id, as written.
    Request(Box<str>, Elicitation),
    /// A round of a modern server, by its keys.
    Round(Vec<(Box<str>, Elicitation)>),
}

/// Elicitation of a suspended call.
#[derive(Debug)]
pub(super) struct SuspendedElicitation {
    /// Id of the server's request, as written.
    pub(super) id: Box<str>,
    pub(super) elicitation: Elicitation,
    /// Key in `inputRequests`, unique within the call.
    pub(super) key: String,
}

impl ConversationState {
    pub(super) fn new(server: Slug, client_until: Option<Timestamp>) -> Self {
        Self {
            limiter: NotificationLimiter::default(),
            batcher: ElicitationBatcher::default(),
            pending: PendingElicitations::new(server, client_until),
            registering: None,
            suspended: Vec::new(),
            request_state: None,
            timeouts_held: false,
            keys: 0,
        }
    }

    /// Takes a round that the modern client is to answer, with a key for each elicitation.
    pub(super) fn suspend(&mut self, round: ElicitationRound) {
        for (id, elicitation) in round {
            self.keys += 1;
            self.suspended.push(SuspendedElicitation {
                id,
                elicitation,
                key: format!("question-{}", self.keys),
            });
        }
    }

    /// Returns how long after `now` a notification or a round that is held back is due.
    pub(super) fn wait_for_pace(&self, now: CallTime) -> Option<Duration> {
        let paced = [self.limiter.due(), self.batcher.due()];
        let paced = paced.into_iter().flatten().min();
        paced.map(|due| due.saturating_sub(now.elapsed))
    }

    /// Returns how long after `now` the answers of the client are due.
    pub(super) fn wait_for_answers(&self, now: CallTime) -> Option<Duration> {
        self.pending.deadline().map(|until| until.since(now.wall))
    }
}
