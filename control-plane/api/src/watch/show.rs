//! Objects of all kinds in the form of watch events.

use toolgate_control_core::{ObjectKey, ObjectKind};
use toolgate_model::{
    Credential, Gateway, Organization, ResourceKey, ResourceKind, Server, Slug, Timestamp, Token,
};
use toolgate_proto::admin::v1::{self as pb, watch_event::Object};
use toolgate_wire::{ProtoConversion as _, ResourceCollection, resource_name};

use super::ObjectFingerprint;
use crate::{
    control_api::PublishedState,
    kinds::{self, AdminResource},
    observed::show_proxy,
    problems,
};

/// Returns the message name of a kind, as in `WatchRequest.kinds`.
pub(super) fn message(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Organization => "Organization",
        ObjectKind::Gateway => "Gateway",
        ObjectKind::Server => "Server",
        ObjectKind::Credential => "Credential",
        ObjectKind::Token => "Token",
        ObjectKind::Definitions => "Catalogue",
        ObjectKind::Proxy => "Proxy",
    }
}

/// Calls `each` with the organization, key and fingerprint of every object of `kind`.
pub(super) fn fingerprints(
    kind: ObjectKind,
    published: &PublishedState,
    each: &mut dyn FnMut(Option<&Slug>, ObjectKey, ObjectFingerprint),
) {
    let state = &published.state;
    match kind {
        ObjectKind::Organization => plain::<Organization>(published, each),
        ObjectKind::Server => {
            for (name, stored) in state.servers.iter() {
                let probe = problems::of_server(name, published);
                let look = ObjectFingerprint::Probed(stored.mod_revision, Box::new(probe));
                each(Some(&name.org), ObjectKey::Server(name.clone()), look);
            }
        }
        ObjectKind::Credential => plain::<Credential>(published, each),
        ObjectKind::Token => plain::<Token>(published, each),
        ObjectKind::Gateway => {
            for (name, stored) in state.gateways.iter() {
                let key = ResourceKey {
                    kind: ResourceKind::Gateway,
                    name: name.clone(),
                };
                let entry = published.compiled.snapshot.entries.get(&key);
                let problems = problems::of_gateway(name, published);
                let look = ObjectFingerprint::Compiled(
                    stored.mod_revision,
                    entry.map(|e| e.digest),
                    problems,
                );
                each(Some(&name.org), ObjectKey::Gateway(name.clone()), look);
            }
        }
        ObjectKind::Definitions => {
            for (name, stored) in state.definitions.iter() {
                let look = ObjectFingerprint::Stored(stored.mod_revision);
                each(Some(&name.org), ObjectKey::Definitions(name.clone()), look);
            }
        }
        ObjectKind::Proxy => {
            let wanted = published.compiled.snapshot.version;
            for (id, stored) in state.proxies.iter() {
                let look = ObjectFingerprint::TargetVersion(stored.mod_revision, wanted);
                each(None, ObjectKey::Proxy(id.clone()), look);
            }
        }
    }
}

/// Returns the object at `key`, if it exists.
pub(super) fn object(
    key: &ObjectKey,
    published: &PublishedState,
    now: Timestamp,
) -> Option<Object> {
    let state = &published.state;
    match key {
        ObjectKey::Organization(id) => {
            shown::<Organization>(id, published).map(Object::Organization)
        }
        ObjectKey::Gateway(name) => shown::<Gateway>(name, published).map(Object::Gateway),
        ObjectKey::Server(name) => shown::<Server>(name, published).map(Object::Server),
        ObjectKey::Credential(name) => shown::<Credential>(name, published).map(Object::Credential),
        ObjectKey::Token(name) => shown::<Token>(name, published).map(Object::Token),
        ObjectKey::Definitions(name) => {
            let stored = state.definitions.get(name);
            stored.map(|stored| Object::Catalogue(stored.object.to_proto()))
        }
        ObjectKey::Proxy(id) => {
            let stored = state.proxies.get(id);
            stored.map(|stored| Object::Proxy(show_proxy(&stored.object, published, now)))
        }
        ObjectKey::Marker
        | ObjectKey::GatewayId(_)
        | ObjectKey::SystemKey(_)
        | ObjectKey::JoinToken(_)
        | ObjectKey::Expelled(_)
        | ObjectKey::Request(_)
        | ObjectKey::History(_) => None,
    }
}

/// Returns the object of a deletion event. It contains only the name.
pub(super) fn tombstone(key: &ObjectKey) -> Option<Object> {
    Some(match key {
        ObjectKey::Organization(id) => Object::Organization(kinds::tombstone::<Organization>(id)),
        ObjectKey::Gateway(name) => Object::Gateway(kinds::tombstone::<Gateway>(name)),
        ObjectKey::Server(name) => Object::Server(kinds::tombstone::<Server>(name)),
        ObjectKey::Credential(name) => Object::Credential(kinds::tombstone::<Credential>(name)),
        ObjectKey::Token(name) => Object::Token(kinds::tombstone::<Token>(name)),
        ObjectKey::Definitions(name) => Object::Catalogue(pb::Catalogue {
            name: ResourceCollection::Catalogues.format(name),
            ..Default::default()
        }),
        ObjectKey::Proxy(id) => Object::Proxy(pb::Proxy {
            name: resource_name::proxy(id),
            ..Default::default()
        }),
        ObjectKey::Marker
        | ObjectKey::GatewayId(_)
        | ObjectKey::SystemKey(_)
        | ObjectKey::JoinToken(_)
        | ObjectKey::Expelled(_)
        | ObjectKey::Request(_)
        | ObjectKey::History(_) => return None,
    })
}

fn plain<R: AdminResource>(
    published: &PublishedState,
    each: &mut dyn FnMut(Option<&Slug>, ObjectKey, ObjectFingerprint),
) {
    for (id, stored) in R::table(&published.state).iter() {
        each(
            Some(R::org(id)),
            R::key(id),
            ObjectFingerprint::Stored(stored.mod_revision),
        );
    }
}

fn shown<R: AdminResource>(id: &R::Id, published: &PublishedState) -> Option<R::Proto> {
    let stored = R::table(&published.state).get(id)?;
    Some(kinds::show::<R>(id, stored, published))
}
