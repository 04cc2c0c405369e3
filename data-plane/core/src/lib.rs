//! Decision logic of the data plane as pure functions and state machines: the view, authentication, authorization,
//! request planning, and the rewriting of messages between client and server. Performs no IO and reads neither a clock
//! nor a source of randomness.

pub mod authn;
pub mod call;
pub mod client_state;
pub mod endpoint_choice;
pub mod notify;
pub mod plan;
pub mod policy;
pub mod port;
pub mod refusal;
pub mod rewrite;
pub mod segmented_bytes;
pub mod session;
pub mod view;

pub use authn::authenticate::{TokenHasher, authenticate};
pub use authn::caller::{Authn, AuthnId, AuthnKind, Caller};
pub use authn::grant::Grant;
pub use authn::token_fault::TokenFault;
pub use client_state::ClientStateCipher;
pub use plan::route::route;
pub use plan::{Plan, PlanInput, plan};
pub use refusal::Refusal;
pub use segmented_bytes::SegmentedBytes;
pub use session::owning_proxy::OwningProxy;
pub use view::{GatewayView, PromptView, ServerView, ToolView, View};

#[cfg(test)]
mod fixture;
