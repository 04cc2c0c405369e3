//! Limits on open connections, in total and per client address. Evaluated when a connection opens or closes, never per
//! request.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Counts open connections and rejects those beyond the limits.
#[derive(Debug)]
pub(crate) struct ConnectionLimiter {
    open: AtomicUsize,
    limit: usize,
    per_address: u32,
    addresses: Mutex<BTreeMap<IpAddr, u32>>,
}

/// Permit of one admitted connection; released on drop.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
}

impl ConnectionLimiter {
    /// Creates a limiter for at most `limit` connections in total and `per_address` per client address.
    pub(crate) fn new(limit: usize, per_address: u32) -> Arc<Self> {
        let (open, addresses) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self {
            open,
            limit,
            per_address,
            addresses,
        })
    }

    /// Returns a permit for a connection from `address`, or `None` if a limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        let address = address.to_canonical();
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.open.load(Ordering::Relaxed) >= self.limit {
            return None;
        }
        let count = addresses.entry(address).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        let limiter = Arc::clone(self);
        Some(ConnectionPermit { limiter, address })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let addresses = &self.limiter.addresses;
        let mut addresses = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        self.limiter.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
