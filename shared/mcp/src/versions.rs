//! The protocol revisions that are spoken.

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The revisions with sessions, newest first.
pub const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// The newest of [`LEGACY`]: what is offered where the other side's wish is not known.
pub const LATEST_LEGACY: &str = "2025-11-25";
/// The first revision, over HTTP with one stream for all that a server says: spoken towards servers only.
pub const OLDEST: &str = "2024-11-05";
/// What a legacy client speaks that names no version after its handshake.
pub const ASSUMED_LEGACY: &str = "2025-03-26";
/// Everything, newest first.
pub const ALL: [&str; 4] = [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"];

/// Our own spelling of a legacy version, if it is one of [`LEGACY`].
pub fn legacy(version: &str) -> Option<&'static str> {
    LEGACY.into_iter().find(|known| *known == version)
}

/// The same for what a server may agree to: [`OLDEST`] too.
pub fn of_server(version: &str) -> Option<&'static str> {
    legacy(version).or((version == OLDEST).then_some(OLDEST))
}

/// Our own spelling of any version that is spoken.
pub fn known(version: &str) -> Option<&'static str> {
    ALL.into_iter().find(|known| *known == version)
}

/// What `initialize` answers to a client that asks for `version`: the same where it is spoken, else the newest.
pub fn negotiate(version: &str) -> &'static str {
    legacy(version).unwrap_or(LATEST_LEGACY)
}
