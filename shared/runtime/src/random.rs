//! The only source of randomness, backed by the operating system.

use uuid::Uuid;

/// Returns cryptographically secure random bytes.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that draws randomness"
)]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // Aborting is safer than continuing with predictable keys.
        std::process::abort();
    }
    bytes
}

/// Returns a random number, e.g. for [`Backoff::next`](crate::Backoff::next).
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}

/// Returns a new unique id that sorts by creation time (UUID version 7).
pub fn id() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests;
