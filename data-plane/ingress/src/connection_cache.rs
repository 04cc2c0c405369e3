//! Values cached per connection.
//!
//! [`TokenHashCache`] holds the hash of the connection's last bearer token, so that the next request with the same
//! token computes no MAC. Authorization is checked again for every request, so the entry cannot become stale.
//! [`CacheSlot`] holds any other value.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use subtle::ConstantTimeEq as _;
use toolgate_model::TokenHash;
use zeroize::Zeroizing;

/// Maximum length of a token that a connection keeps, in bytes. A token is kept before it is verified, so that this bounds
/// the memory of each connection. A longer one is hashed for each request.
pub const MAX_KEPT: usize = 2 * 1024;

/// Cache of the hash of the last token on a connection. One entry is enough: clients keep their token, and a load
/// balancer that mixes clients costs one hash per change.
#[derive(Default)]
pub struct TokenHashCache {
    last: Mutex<Option<CachedTokenHash>>,
}

struct CachedTokenHash {
    /// Held so that no other key can be allocated at the same address.
    key: Arc<dyn Any + Send + Sync>,
    token: Zeroizing<Vec<u8>>,
    hash: TokenHash,
}

impl TokenHashCache {
    /// Returns the hash of `token`; calls `hash` unless the last token was the same, under the same `key`.
    pub fn hash<K: Send + Sync + 'static>(
        &self,
        key: &Arc<K>,
        token: &str,
        hash: impl FnOnce(&str) -> TokenHash,
    ) -> TokenHash {
        if token.len() > MAX_KEPT {
            return hash(token);
        }
        // Contended only by concurrent requests of an HTTP/2 connection, where hashing is cheaper than waiting.
        let Ok(mut last) = self.last.try_lock() else {
            return hash(token);
        };
        if let Some(seen) = &*last
            && std::ptr::addr_eq(Arc::as_ptr(&seen.key), Arc::as_ptr(key))
            // A load balancer may mix clients on one connection: the comparison takes constant time, so that its
            // duration reveals nothing about another client's token.
            && bool::from(seen.token.ct_eq(token.as_bytes()))
        {
            return seen.hash;
        }
        let hash = hash(token);
        let token = Zeroizing::new(token.as_bytes().to_vec());
        let key: Arc<dyn Any + Send + Sync> = Arc::clone(key) as _;
        *last = Some(CachedTokenHash { key, token, hash });
        hash
    }
}

/// Value computed for the last request of a connection that may serve the next one.
#[derive(Default)]
pub struct CacheSlot(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl CacheSlot {
    /// Returns the stored value if it has this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let held = self.0.try_lock().ok()?.clone();
        held?.downcast().ok()
    }

    /// Replaces the stored value.
    pub fn put<T: Send + Sync + 'static>(&self, value: Arc<T>) {
        if let Ok(mut held) = self.0.try_lock() {
            *held = Some(value);
        }
    }
}

impl std::fmt::Debug for CacheSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheSlot(…)")
    }
}

impl std::fmt::Debug for TokenHashCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHashCache(…)")
    }
}

#[cfg(test)]
mod tests;
