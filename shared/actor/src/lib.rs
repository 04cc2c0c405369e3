//! Actors on top of actix, used for the state of both planes. An actor's state is accessible only to the actor. Callers
//! hold an [`ActorHandle`] and get an answer, *busy* or *gone*; no queue is unbounded. After a panic the state is lost,
//! the handles stay valid, and the factory creates a new instance.
//!
//! ```text
//! let system = ActorSystem::start(2)?;
//! let counter = system.spawn(|| Counter::default());
//! counter.tell(Message::Add(2))?;                                          // Err(Busy | Gone)
//! let total = counter.ask(SECOND, |reply| Message::Total(reply)).await?;   // Err(Busy | Gone | Timeout)
//! ```
//!
//! Handlers translate a message, step a pure core and run its effects. A handler never awaits: futures are passed to
//! [`ActorContext::perform`], and their output is delivered as a message.

pub mod context;
pub mod handle;
pub mod system;

mod cell;
mod permit;
mod registry;

pub use context::{ActorContext, TimerId};
pub use handle::{ActorHandle, AskError, ReplySender, SendError};
pub use registry::ActorSnapshot;
pub use system::{ActorDrainOutcome, ActorSystem};

/// State machine that handles one message at a time.
pub trait Actor: Sized + Unpin + 'static {
    /// Message type of the actor.
    type Message: Send + 'static;

    /// Name of the actor type in logs, in [`ActorSystem::counts`] and on the admin page.
    const KIND: &'static str;

    /// Maximum number of messages queued or being processed. Further messages are answered with *busy*.
    const CAPACITY: usize = 64;

    /// Maximum number of panics within one minute. One more ends the actor.
    const MAX_RESTARTS: usize = 5;

    /// Called after the actor was created, including after a restart.
    fn started(&mut self, _cx: &mut ActorContext<Self>) {}

    /// Handles one message. Must neither block nor wait.
    fn handle(&mut self, message: Self::Message, cx: &mut ActorContext<Self>);

    /// Returns the actor's state as JSON for tests and operators. Must not contain secrets.
    fn observe(&self) -> serde_json::Value;

    /// Called when the actor ends in order: stopped, drained, or no longer reachable. Not called after a panic.
    fn stopped(&mut self) {}
}

#[cfg(test)]
mod tests;
