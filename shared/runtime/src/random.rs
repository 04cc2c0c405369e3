//! The only source of randomness: the operating system's.

use uuid::Uuid;

/// Random bytes, good enough for keys.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that draws randomness"
)]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // Going on with predictable keys is worse than ending, and there is no third way.
        std::process::abort();
    }
    bytes
}

/// A random number, e.g. for [`Backoff::next`](crate::Backoff::next).
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}

/// A new unique id that sorts by time of creation (UUID version 7).
pub fn id() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests;
