//! Authentication: from a bearer token to a caller with its grant. Past [`authenticate`](authenticate::authenticate),
//! a request has a [`Caller`](caller::Caller) and no token, so that every kind of proof is treated alike.

pub mod authenticate;
pub mod caller;
pub(crate) mod external;
pub mod grant;
pub mod jwt;
pub mod token_fault;
pub(crate) mod token_view;
