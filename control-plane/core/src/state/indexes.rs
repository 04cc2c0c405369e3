//! Indexes of the tables. Every write updates them, so that a decision or a compilation reads what depends on one object
//! without looking at all objects.

use std::time::Duration;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use toolgate_model::{
    AllowList, Digest, Gateway, KindObject as _, ObjectName, ReverseIndex, Server, ServerBinding,
    Slug, Timestamp, Token,
};

use crate::{
    key::{ObjectKey, ObjectKind},
    kind::StateKind as _,
    limits,
    object::ControlObject,
};

use super::StoreState;

/// Indexes of the objects of a state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StateIndexes {
    /// Gateways of the organization of a server that bind it.
    gateways_by_server: ReverseIndex<ObjectName, Slug>,
    /// Organizations that have a gateway of an id.
    orgs_by_gateway_id: ReverseIndex<Slug, Slug>,
    /// Servers of the organization of a credential that refer to it.
    servers_by_credential: ReverseIndex<ObjectName, Slug>,
    /// Gateways of the organization of an identity provider that admit its callers.
    gateways_by_provider: ReverseIndex<ObjectName, Slug>,
    /// Tokens of the organization of a gateway that list it.
    tokens_by_gateway: ReverseIndex<ObjectName, Slug>,
    /// Tokens by their expiry.
    tokens_by_expiry: ReverseIndex<Timestamp, ObjectName>,
    /// Temporary tokens by their expiry.
    temporary_tokens: ReverseIndex<Timestamp, ObjectName>,
    /// Bookkeeping records by the time from which they may be deleted.
    records_by_expiry: ReverseIndex<Timestamp, ObjectKey>,
    /// Proxies by the time at which they were seen last.
    proxies_by_last_seen: ReverseIndex<Timestamp, Slug>,
    /// Parts of the definitions of servers that do not exist.
    left_over_parts: RedBlackTreeSetSync<(ObjectName, Digest)>,
    /// Numbers of the objects that operators write, by kind and organization.
    counts: RedBlackTreeMapSync<(ObjectKind, Slug), usize>,
}

impl StateIndexes {
    pub(super) fn insert(&mut self, key: &ObjectKey, object: &ControlObject) {
        self.update(key, object, true);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, object: &ControlObject) {
        self.update(key, object, false);
    }

    fn update(&mut self, key: &ObjectKey, object: &ControlObject, is_present: bool) {
        self.update_count(key, is_present);
        if let Some(gateway) = Gateway::of_object(object) {
            let ObjectName { org, id } = &gateway.name;
            let orgs = &mut self.orgs_by_gateway_id;
            set(orgs, id.clone(), org.clone(), is_present);
            for ServerBinding { server, .. } in &gateway.bindings {
                let server = ObjectName::new(org.clone(), server.clone());
                let gateways = &mut self.gateways_by_server;
                set(gateways, server, id.clone(), is_present);
            }
        }
        if let Some(gateway) = Gateway::of_object(object) {
            let ObjectName { org, id } = &gateway.name;
            for admitted in &gateway.identity_providers {
                let provider = ObjectName::new(org.clone(), admitted.provider.clone());
                let gateways = &mut self.gateways_by_provider;
                set(gateways, provider, id.clone(), is_present);
            }
        }
        if let Some(server) = Server::of_object(object)
            && let Some(credential) = &server.credential
        {
            let ObjectName { org, id } = &server.name;
            let credential = ObjectName::new(org.clone(), credential.clone());
            let servers = &mut self.servers_by_credential;
            set(servers, credential, id.clone(), is_present);
        }
        if let Some(token) = Token::of_object(object) {
            self.update_token(token, is_present);
        }
        if let Some(proxy) = object.proxy_status() {
            let proxies = &mut self.proxies_by_last_seen;
            set(proxies, proxy.last_seen, proxy.id.clone(), is_present);
        }
        if let Some(expiry) = expiry_of_record(object) {
            let records = &mut self.records_by_expiry;
            set(records, expiry, key.clone(), is_present);
        }
    }

    fn update_token(&mut self, token: &Token, is_present: bool) {
        if let AllowList::Only(listed) = &token.gateways {
            let ObjectName { org, id } = &token.name;
            for gateway in listed {
                let gateway = ObjectName::new(org.clone(), gateway.clone());
                let tokens = &mut self.tokens_by_gateway;
                set(tokens, gateway, id.clone(), is_present);
            }
        }
        if let Some(expiry) = token.expires {
            let tokens = &mut self.tokens_by_expiry;
            set(tokens, expiry, token.name.clone(), is_present);
            if expiry.since(token.meta.created) <= limits::TEMPORARY_TOKEN_LIFETIME {
                let tokens = &mut self.temporary_tokens;
                set(tokens, expiry, token.name.clone(), is_present);
            }
        }
    }

    fn update_count(&mut self, key: &ObjectKey, is_present: bool) {
        let Some(object) = key.object().filter(|_| key.is_desired()) else {
            return;
        };
        let Some(org) = object.org else {
            return;
        };
        let counted = (object.kind, org.clone());
        let before = self.counts.get(&counted).copied().unwrap_or_default();
        let count = match is_present {
            true => before.saturating_add(1),
            false => before.saturating_sub(1),
        };
        if count == 0 {
            self.counts.remove_mut(&counted);
        } else {
            self.counts.insert_mut(counted, count);
        }
    }
}

fn set<K: Ord + Clone, V: Ord>(index: &mut ReverseIndex<K, V>, key: K, value: V, is_present: bool) {
    if is_present {
        index.insert(key, value);
    } else {
        index.remove(&key, &value);
    }
}

/// Returns the time from which a bookkeeping record may be deleted.
fn expiry_of_record(object: &ControlObject) -> Option<Timestamp> {
    if let ControlObject::Request(record) = object {
        return Some(record.expires);
    }
    if let ControlObject::JoinToken(token) = object {
        return Some(token.expires);
    }
    if let ControlObject::Expelled(until) = object {
        return Some(*until);
    }
    None
}

impl StoreState {
    /// Returns the gateways of the organization of `server` that bind it.
    pub fn gateways_of_server(&self, server: &ObjectName) -> impl Iterator<Item = &Slug> {
        self.indexes.gateways_by_server.get(server)
    }

    /// Returns the organizations that have a gateway of this id, in order.
    pub fn organizations_of_gateway_id(&self, id: &Slug) -> impl Iterator<Item = &Slug> {
        self.indexes.orgs_by_gateway_id.get(id)
    }

    /// Returns the servers of the organization of `credential` that refer to it.
    pub fn servers_of_credential(&self, credential: &ObjectName) -> impl Iterator<Item = &Slug> {
        self.indexes.servers_by_credential.get(credential)
    }

    /// Returns the gateways of the organization of `provider` that admit its callers.
    pub fn gateways_of_provider(&self, provider: &ObjectName) -> impl Iterator<Item = &Slug> {
        self.indexes.gateways_by_provider.get(provider)
    }

    /// Returns the tokens of the organization of `gateway` that list it.
    pub fn tokens_of_gateway(&self, gateway: &ObjectName) -> impl Iterator<Item = &Slug> {
        self.indexes.tokens_by_gateway.get(gateway)
    }

    /// Returns the tokens that expire after `after`, at `until` or before, revoked or not.
    pub fn tokens_expiring(
        &self,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = &ObjectName> {
        let expiring = &self.indexes.tokens_by_expiry;
        expiring.between(Some(after), until)
    }

    /// Returns the temporary tokens whose records are kept no longer at `now`, in the order of their end.
    pub fn ended_temporary_tokens(&self, now: Timestamp) -> impl Iterator<Item = &ObjectName> {
        let kept = limits::TEMPORARY_TOKEN_RETENTION.as_millis();
        let kept = u64::try_from(kept).unwrap_or(u64::MAX);
        let until = now.0.checked_sub(kept);
        let tokens = &self.indexes.temporary_tokens;
        let ended = until.map(|until| tokens.between(None, Timestamp(until)));
        ended.into_iter().flatten()
    }

    /// Returns the keys of the request records, join tokens and expulsions that have expired at `now`.
    pub fn expired_records(&self, now: Timestamp) -> impl Iterator<Item = &ObjectKey> {
        self.indexes.records_by_expiry.between(None, now)
    }

    /// Returns the proxies that were last seen longer than `period` before `now`.
    pub fn proxies_silent_since(
        &self,
        now: Timestamp,
        period: Duration,
    ) -> impl Iterator<Item = &Slug> {
        let period = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let until = now.0.checked_sub(period.saturating_add(1));
        let proxies = &self.indexes.proxies_by_last_seen;
        let silent = until.map(|until| proxies.between(None, Timestamp(until)));
        silent.into_iter().flatten()
    }

    /// Returns the parts of the definitions of servers that do not exist.
    pub fn left_over_parts(&self) -> impl Iterator<Item = &(ObjectName, Digest)> {
        self.indexes.left_over_parts.iter()
    }

    /// Updates the parts that are left over, after a write or a deletion of `key`.
    pub(super) fn update_left_over_parts(&mut self, key: &ObjectKey) {
        let parts = if let ObjectKey::DefinitionsPart(server, digest) = key {
            vec![(server.clone(), *digest)]
        } else if let Some(reference) = key.object()
            && reference.kind == Server::KIND
            && let Some(org) = reference.org
        {
            let server = ObjectName::new(org.clone(), reference.id.clone());
            let digests = self.part_digests(&server).into_iter();
            digests.map(|digest| (server.clone(), digest)).collect()
        } else {
            return;
        };
        for part in parts {
            let server = Server::key(part.0.clone());
            let exists = self.mod_revision_at(&server).is_some();
            if !exists && self.definitions_parts.contains(&part) {
                self.indexes.left_over_parts.insert_mut(part);
            } else {
                self.indexes.left_over_parts.remove_mut(&part);
            }
        }
    }

    /// Returns the number of readable objects of a kind that operators write in an organization.
    pub fn count_of(&self, kind: ObjectKind, org: &Slug) -> usize {
        let counts = &self.indexes.counts;
        counts
            .get(&(kind, org.clone()))
            .copied()
            .unwrap_or_default()
    }

    /// Returns the keys of the objects and gateway ids that may differ from those of `earlier`, with repetitions; `None`
    /// if this state is not derived from `earlier`, or by too many changes.
    pub fn changes_since<'a>(
        &'a self,
        earlier: &Self,
    ) -> Option<impl Iterator<Item = &'a ObjectKey> + use<'a>> {
        self.changes.since(&earlier.changes.position())
    }
}
