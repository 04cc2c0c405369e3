//! Tests against hostile clients. Each test name starts with the id of its row in docs/threats.md.

mod framing;
mod isolation;
mod names;
mod sessions;
mod shares;
