//! Supported protocol revisions.

/// Stateless revision.
pub const MODERN: &str = "2026-07-28";
/// Session-based revisions, newest first.
pub const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// Newest of [`LEGACY`], offered if the version preferred by the peer is not known.
pub const LATEST_LEGACY: &str = "2025-11-25";
/// First revision, with the HTTP+SSE transport. Supported towards servers only.
pub const OLDEST: &str = "2024-11-05";
/// Version assumed for a legacy client that sends no version after its handshake.
pub const ASSUMED_LEGACY: &str = "2025-03-26";
/// All versions supported towards clients, newest first.
pub const ALL: [&str; 4] = [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"];

/// Returns the static string of a legacy version, or `None` if it is not one of [`LEGACY`].
pub fn legacy(version: &str) -> Option<&'static str> {
    LEGACY.into_iter().find(|known| *known == version)
}

/// Returns the static string of a version that a server may select: one of [`LEGACY`], or [`OLDEST`].
pub fn accepted_from_server(version: &str) -> Option<&'static str> {
    legacy(version).or((version == OLDEST).then_some(OLDEST))
}

/// Returns the static string of any version in [`ALL`].
pub fn known(version: &str) -> Option<&'static str> {
    ALL.into_iter().find(|known| *known == version)
}

/// Returns the version that `initialize` answers to a client that requests `version`: the same if it is supported,
/// otherwise the newest.
pub fn negotiate(version: &str) -> &'static str {
    legacy(version).unwrap_or(LATEST_LEGACY)
}
