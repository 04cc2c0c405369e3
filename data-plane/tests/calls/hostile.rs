//! Tests against hostile clients. Each test name starts with the id of its row in docs/threat-catalogue.md.

mod ambiguous_bodies;
mod credentials;
mod framing;
mod identities;
mod isolation;
mod metrics;
mod names;
mod sessions;
mod shares;
mod smuggling;
mod spellings;
mod tenants;
