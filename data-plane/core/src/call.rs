//! Machine of a call, from its first request to its answer. [`CallMachine`] decides every step: streaming,
//! elicitations, request rounds, suspension, cancellation and retries. Pure: events and the time go in, effects come
//! out.

pub mod batcher;
pub mod effect;
pub mod elicitation;
pub mod event;
pub mod machine;
pub mod notification_limiter;
pub mod request_state;
pub mod retry;
pub mod suspended;
pub mod url_elicitation;
pub mod verdict;

pub use effect::{CallEffect, CallEffects, CallEnd, EncryptionRequest};
pub use elicitation::{Elicitation, ElicitationId};
pub use event::{BodyKind, CallEvent, CallTime, ContinuedCall, UpstreamEnd, UpstreamHead};
pub use machine::{CallMachine, CallOptions};
pub use retry::{InputResponses, PingOutcome, RetrySession, SessionRefusal, SessionVerdict};
pub use verdict::UpstreamVerdict;
