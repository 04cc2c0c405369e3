//! Decides which connections of a listener are open. Pure: evaluated when a connection opens, identifies itself or
//! closes, never per request.
//!
//! Connections of unidentified peers are counted per network: an IPv4 address, or the /64 of an IPv6 address. When
//! there is no room for a new one, an idle one makes room: the oldest of the network that has the most, or of the same
//! network if that is at its limit. A peer that can identify itself, such as a proxy with a certificate, therefore gets
//! as far as its handshake. An identified connection is never evicted, and a part of the connections is reserved for
//! identified ones.
//!
//! A connection makes room for one of its own network only from a certain age. Otherwise a network that opens
//! connections without a pause would end each of its connections before the handshake is done.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::limits::ConnectionLimits;
use crate::budget::BudgetOwner;

/// Maximum number of connections that are examined to make room for one.
const EVICTION_CANDIDATES: usize = 64;

/// Number of bits of an IPv6 address that name its network.
const IPV6_NETWORK_BITS: u32 = 64;

/// Id of an admitted connection, unique within its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// Decision about a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The connection is open.
    Admitted(ConnectionId),
    /// The connection is open, and another one, already removed from the table, has to be closed.
    AdmittedInsteadOf {
        /// Id of the new connection.
        admitted: ConnectionId,
        /// Id of the connection to close.
        evicted: ConnectionId,
    },
    /// The connection has to be closed.
    Refused,
}

/// Open connections of a listener.
#[derive(Debug)]
pub struct AdmissionTable {
    limit: usize,
    per_source: usize,
    reserved: usize,
    eviction_age: Duration,
    connections: BTreeMap<ConnectionId, TableEntry>,
    /// Connections of each source, in the order in which they are examined.
    sources: BTreeMap<ConnectionSource, BTreeMap<u64, ConnectionId>>,
    /// Networks by number of connections; the one whose next candidate is oldest is last among equals.
    ranking: BTreeSet<NetworkRank>,
    identified: usize,
    sequence: u64,
}

#[derive(Debug, Clone, Copy)]
struct TableEntry {
    source: ConnectionSource,
    position: u64,
    opened_at: Duration,
}

/// Origin that connections are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionSource {
    Network(IpAddr),
    Identity(BudgetOwner),
}

type NetworkRank = (usize, Reverse<u64>, ConnectionSource);

impl AdmissionTable {
    /// Creates an empty table with the limits of a listener.
    pub fn new(limits: &ConnectionLimits) -> Self {
        Self {
            limit: limits.connections,
            per_source: limits.connections_per_address,
            reserved: limits.reserved_connections,
            eviction_age: limits.eviction_age,
            connections: BTreeMap::new(),
            sources: BTreeMap::new(),
            ranking: BTreeSet::new(),
            identified: 0,
            sequence: 0,
        }
    }

    /// Decides about a new connection from `address` at the time `now`. `try_evict` returns `true` if the connection is
    /// idle, and will be closed.
    pub fn admit(
        &mut self,
        address: IpAddr,
        now: Duration,
        try_evict: impl FnMut(ConnectionId) -> bool,
    ) -> Admission {
        let source = ConnectionSource::Network(network(address));
        let is_source_full = self.count_of(source) >= self.per_source;
        if !is_source_full && self.unidentified() < self.unidentified_limit() {
            return Admission::Admitted(self.insert(source, now));
        }
        let candidates = self.candidates(is_source_full.then_some(source));
        let too_young = |entry: &TableEntry| {
            entry.source == source && now.saturating_sub(entry.opened_at) < self.eviction_age
        };
        let of_age = |id: &ConnectionId| self.connections.get(id).is_some_and(|e| !too_young(e));
        let candidates = candidates.into_iter().take_while(of_age).collect();
        let Some(evicted) = self.evict_first(candidates, try_evict) else {
            return Admission::Refused;
        };
        let admitted = self.insert(source, now);
        Admission::AdmittedInsteadOf { admitted, evicted }
    }

    /// Counts a connection for `identity` from now on, and never evicts it. Returns `false`, and leaves the connection as
    /// it is, if the identity has no room or the connection has been closed or evicted.
    pub fn identify(&mut self, id: ConnectionId, identity: BudgetOwner) -> bool {
        let source = ConnectionSource::Identity(identity);
        if self.count_of(source) >= self.per_source {
            return false;
        }
        let Some(entry) = self.remove(id) else {
            return false;
        };
        self.insert_at(id, source, entry.opened_at);
        true
    }

    /// Removes a connection; no effect if it was evicted.
    pub fn close(&mut self, id: ConnectionId) {
        self.remove(id);
    }

    /// Returns the number of open connections.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Returns `true` if no connection is open.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn unidentified(&self) -> usize {
        self.connections.len() - self.identified
    }

    fn unidentified_limit(&self) -> usize {
        let unreserved = self.limit.saturating_sub(self.reserved);
        unreserved.min(self.limit.saturating_sub(self.identified))
    }

    fn count_of(&self, source: ConnectionSource) -> usize {
        self.sources.get(&source).map_or(0, BTreeMap::len)
    }

    /// Returns the connections to examine: of `source` only if given, otherwise of the networks with the most.
    fn candidates(&self, source: Option<ConnectionSource>) -> Vec<ConnectionId> {
        let of = |source: &ConnectionSource| self.sources.get(source).into_iter().flatten();
        let ranked = || self.ranking.iter().rev().map(|(_, _, source)| source);
        let sources: Vec<_> = match &source {
            Some(source) => vec![source],
            None => ranked().take(EVICTION_CANDIDATES).collect(),
        };
        let ids = sources.into_iter().flat_map(of).map(|(_, id)| *id);
        ids.take(EVICTION_CANDIDATES).collect()
    }

    /// Evicts the first candidate that allows it. Candidates that do not are examined last the next time.
    fn evict_first(
        &mut self,
        candidates: Vec<ConnectionId>,
        mut try_evict: impl FnMut(ConnectionId) -> bool,
    ) -> Option<ConnectionId> {
        for id in candidates {
            if try_evict(id) {
                self.remove(id);
                return Some(id);
            }
            if let Some(entry) = self.remove(id) {
                self.insert_at(id, entry.source, entry.opened_at);
            }
        }
        None
    }

    fn insert(&mut self, source: ConnectionSource, now: Duration) -> ConnectionId {
        let id = ConnectionId(self.sequence);
        self.insert_at(id, source, now);
        id
    }

    fn insert_at(&mut self, id: ConnectionId, source: ConnectionSource, opened_at: Duration) {
        let position = self.sequence;
        self.sequence += 1;
        self.unrank(source);
        self.sources.entry(source).or_default().insert(position, id);
        self.rank(source);
        self.identified += usize::from(source.is_identity());
        let entry = TableEntry {
            source,
            position,
            opened_at,
        };
        self.connections.insert(id, entry);
    }

    fn remove(&mut self, id: ConnectionId) -> Option<TableEntry> {
        let entry = self.connections.remove(&id)?;
        self.unrank(entry.source);
        if let Some(of_source) = self.sources.get_mut(&entry.source) {
            of_source.remove(&entry.position);
            if of_source.is_empty() {
                self.sources.remove(&entry.source);
            }
        }
        self.rank(entry.source);
        self.identified -= usize::from(entry.source.is_identity());
        Some(entry)
    }

    fn rank(&mut self, source: ConnectionSource) {
        self.ranking.extend(self.rank_of(source));
    }

    fn unrank(&mut self, source: ConnectionSource) {
        if let Some(rank) = self.rank_of(source) {
            self.ranking.remove(&rank);
        }
    }

    /// Returns the place of a network in the ranking; identities have none, since they are never evicted.
    fn rank_of(&self, source: ConnectionSource) -> Option<NetworkRank> {
        let of_source = self
            .sources
            .get(&source)
            .filter(|_| !source.is_identity())?;
        let (first, _) = of_source.first_key_value()?;
        Some((of_source.len(), Reverse(*first), source))
    }
}

impl ConnectionSource {
    fn is_identity(self) -> bool {
        match self {
            Self::Network(_) => false,
            Self::Identity(_) => true,
        }
    }
}

/// Returns the network by which connections of this address are counted.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (Ipv6Addr::BITS - IPV6_NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests;
