//! What a connection's bearer token hashes to, remembered for that connection. The next request with the same token
//! computes no MAC; whether the token may still do anything is judged anew every time, so nothing here can go stale.
//! A [`Slot`] is the same for whatever else is worth remembering.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use subtle::ConstantTimeEq as _;
use toolgate_model::TokenHash;
use zeroize::Zeroizing;

/// The last token that came over a connection. One entry: clients do not change theirs per request, and a balancer
/// that mixes clients costs a hash each.
#[derive(Default)]
pub struct TokenMemo {
    last: Mutex<Option<Seen>>,
}

struct Seen {
    /// Kept, so that another key cannot come to stand at its address.
    key: Arc<dyn Any + Send + Sync>,
    token: Zeroizing<Vec<u8>>,
    hash: TokenHash,
}

impl TokenMemo {
    /// The hash of `token`, computed by `hash` unless it was the last one here, and under the same `key`.
    pub fn hash<K: Send + Sync + 'static>(
        &self,
        key: &Arc<K>,
        token: &str,
        hash: impl FnOnce(&str) -> TokenHash,
    ) -> TokenHash {
        // Contended only by requests at once on one HTTP/2 connection; then hashing is cheaper than waiting.
        let Ok(mut last) = self.last.try_lock() else {
            return hash(token);
        };
        if let Some(seen) = &*last
            && std::ptr::addr_eq(Arc::as_ptr(&seen.key), Arc::as_ptr(key))
            // A balancer may mix clients on one connection: the time taken tells nothing of the other's token.
            && bool::from(seen.token.ct_eq(token.as_bytes()))
        {
            return seen.hash;
        }
        let hash = hash(token);
        let token = Zeroizing::new(token.as_bytes().to_vec());
        let key: Arc<dyn Any + Send + Sync> = Arc::clone(key) as _;
        *last = Some(Seen { key, token, hash });
        hash
    }
}

/// Something that was worked out for the last request of a connection, and may be of use to the next.
#[derive(Default)]
pub struct Slot(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl Slot {
    /// What was put in last, if it is of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let held = self.0.try_lock().ok()?.clone();
        held?.downcast().ok()
    }

    /// Keeps this instead.
    pub fn put<T: Send + Sync + 'static>(&self, value: Arc<T>) {
        if let Ok(mut held) = self.0.try_lock() {
            *held = Some(value);
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot(…)")
    }
}

impl std::fmt::Debug for TokenMemo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenMemo(…)")
    }
}

#[cfg(test)]
mod tests;
