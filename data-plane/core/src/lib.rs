//! Decision logic of the data plane as pure functions and state machines: the view, authentication, authorization,
//! request planning, and the rewriting of messages between client and server. Performs no IO and reads neither a clock
//! nor a source of randomness.

pub mod asking;
pub mod authenticate;
pub mod callers;
pub mod change;
pub mod cursor;
pub mod entrusted;
pub mod gathering;
pub mod grant;
pub mod home;
pub mod levels;
pub mod link;
pub mod pacer;
pub mod parked;
pub mod parts;
pub mod plan;
pub mod port;
pub mod refusal;
pub mod rewrite;
pub mod route;
pub mod seal;
pub mod session;
pub mod session_id;
pub mod subscription;
pub mod task;
pub mod thinning;
pub mod uri;
pub mod view;
pub mod visit;
pub mod watch;

pub use authenticate::{Caller, TokenHasher, authenticate};
pub use grant::Grant;
pub use home::Home;
pub use parts::Parts;
pub use plan::{Plan, PlanInput, plan};
pub use refusal::Refusal;
pub use route::route;
pub use seal::Sealer;
pub use view::{GatewayView, PromptView, ServerView, TokenView, ToolView, View};

#[cfg(test)]
mod fixture;
