//! Authentication: from a bearer token to a caller with its grant.

pub mod authenticate;
pub mod grant;
