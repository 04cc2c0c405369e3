//! Whoever waits for a call, and what a call may ask of them on the way.

use std::{any::Any, fmt, future::Future};

use bytes::Bytes;
use tokio::sync::mpsc;
use toolgate_data_core::{
    asking::{OPEN, QuestionId},
    rewrite::CallOutcome,
};
use toolgate_model::Timestamp;

use crate::{call::Order, standstill::Standstill};

/// Whoever waits for a call. Kept until the call has ended.
pub trait Waiter: Send + Sync + 'static {
    /// Ends when the call is taken back by a message. Who only lets go of the response has no need of it.
    fn cancelled(&self) -> impl Future<Output = ()> + Send;

    /// Gives a question to the legacy client a name, under which its answer comes back to the call; none if the client
    /// cannot be asked.
    fn name(&self, answers: &Answers) -> Option<Named>;

    /// When its client is let in no more, and can answer nothing; none if that has no end.
    fn until(&self) -> Option<Timestamp>;

    /// Keeps a call of a modern client until that has answered. What the client is to come back with; the call itself
    /// if it cannot be kept.
    fn park(&self, call: Standstill) -> Result<String, Box<Standstill>>;

    /// Seals what a modern server entrusts to the modern client of this call; none if that is too much.
    fn entrust(&self, order: &Order, literal: &str) -> Option<String>;

    /// Seals what there is to know of this call while somebody is at so many pages; none if that cannot be.
    fn visit(&self, order: &Order, pages: u8) -> Option<String>;

    /// A streamed answer ended so.
    fn ended(self, outcome: CallOutcome);
}

/// A question that can be answered while this is kept.
pub struct Named {
    /// Its name.
    pub id: QuestionId,
    /// What makes it known.
    pub kept: Box<dyn Any + Send + Sync>,
}

/// Where the answers to the questions of one call go.
#[derive(Debug, Clone)]
pub struct Answers(mpsc::Sender<(QuestionId, Bytes)>);

/// Where they come out.
pub(crate) type Answered = mpsc::Receiver<(QuestionId, Bytes)>;

impl Answers {
    /// As many as there can be questions.
    pub(crate) fn channel() -> (Self, Answered) {
        let (sender, receiver) = mpsc::channel(OPEN);
        (Self(sender), receiver)
    }

    /// The client's answer, a frame. Nobody minds if the call has ended.
    pub fn give(&self, id: QuestionId, frame: Bytes) {
        let _ended = self.0.try_send((id, frame));
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Named({})", self.id.name())
    }
}
