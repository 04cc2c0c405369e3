//! Actors for whatever has to be remembered: one vocabulary for both planes, on actix. What is private to an actor
//! is touched by nobody else; others hold a [`Handle`] and get an answer, *busy*, or *gone*, never a queue without
//! end. A panic costs the actor its state, not its callers their actor: the factory makes it anew.
//!
//! ```text
//! let system = ActorSystem::start(2)?;
//! let counter = system.spawn(|| Counter::default());
//! counter.tell(Message::Add(2))?;                                          // Err(Busy | Gone)
//! let total = counter.ask(SECOND, |reply| Message::Total(reply)).await?;   // Err(Busy | Gone | Timeout)
//! ```
//!
//! Handlers translate, step a pure core and run its effects. They never await: what has to be awaited is handed to
//! [`Context::perform`], whose result comes back as a message.

pub mod context;
pub mod handle;
pub mod system;

mod cell;
mod permit;
mod registry;

pub use context::{Context, TimerId};
pub use handle::{AskError, Handle, Reply, SendError};
pub use registry::Picture;
pub use system::{ActorSystem, DrainOutcome};

/// Something with a memory that handles one message at a time.
pub trait Actor: Sized + Unpin + 'static {
    /// What it understands.
    type Message: Send + 'static;

    /// What it is called: in logs, in [`ActorSystem::counts`], on the admin page.
    const KIND: &'static str;

    /// How many messages may wait for it or be worked on by it; one more is answered *busy*.
    const CAPACITY: usize = 64;

    /// How many panics within a minute it survives; one more and it is gone.
    const RESTARTS: usize = 5;

    /// It has been made, for the first time or again.
    fn started(&mut self, _cx: &mut Context<Self>) {}

    /// Takes one message. Must not block; must not wait.
    fn handle(&mut self, message: Self::Message, cx: &mut Context<Self>);

    /// A picture of its state for tests and for people. No secrets.
    fn observe(&self) -> serde_json::Value;

    /// It ends in order: asked to, drained, or nobody can reach it any more. Not called after a panic.
    fn stopped(&mut self) {}
}

#[cfg(test)]
mod tests;
