//! Objects of all kinds in the form of watch events.

use toolgate_control_core::{Key, Kind};
use toolgate_model::{
    Credential, Gateway, Organization, ResourceKey, ResourceKind, Server, Slug, Timestamp, Token,
};
use toolgate_proto::admin::v1::{self as pb, watch_event::Object};
use toolgate_wire::{Collection, Wire as _, resource_name};

use super::Look;
use crate::{
    desk::Published,
    kinds::{self, Resource},
    observed::show_proxy,
    problems,
};

/// Returns the message name of a kind, as in `WatchRequest.kinds`.
pub(super) fn message(kind: Kind) -> &'static str {
    match kind {
        Kind::Organization => "Organization",
        Kind::Gateway => "Gateway",
        Kind::Server => "Server",
        Kind::Credential => "Credential",
        Kind::Token => "Token",
        Kind::Catalogue => "Catalogue",
        Kind::Proxy => "Proxy",
    }
}

/// Calls `each` with the organization, key and fingerprint of every object of `kind`.
pub(super) fn looks(
    kind: Kind,
    published: &Published,
    each: &mut dyn FnMut(Option<&Slug>, Key, Look),
) {
    let state = &published.state;
    match kind {
        Kind::Organization => plain::<Organization>(published, each),
        Kind::Server => {
            for (name, stored) in state.servers.iter() {
                let probe = problems::of_server(name, published);
                let look = Look::Probed(stored.modified, Box::new(probe));
                each(Some(&name.org), Key::Server(name.clone()), look);
            }
        }
        Kind::Credential => plain::<Credential>(published, each),
        Kind::Token => plain::<Token>(published, each),
        Kind::Gateway => {
            for (name, stored) in state.gateways.iter() {
                let key = ResourceKey {
                    kind: ResourceKind::Gateway,
                    name: name.clone(),
                };
                let entry = published.compiled.snapshot.entries.get(&key);
                let problems = problems::of_gateway(name, published);
                let look = Look::Compiled(stored.modified, entry.map(|e| e.digest), problems);
                each(Some(&name.org), Key::Gateway(name.clone()), look);
            }
        }
        Kind::Catalogue => {
            for (name, stored) in state.catalogues.iter() {
                let look = Look::Stored(stored.modified);
                each(Some(&name.org), Key::Catalogue(name.clone()), look);
            }
        }
        Kind::Proxy => {
            let wanted = published.compiled.snapshot.version;
            for (id, stored) in state.proxies.iter() {
                let look = Look::Wanting(stored.modified, wanted);
                each(None, Key::Proxy(id.clone()), look);
            }
        }
    }
}

/// Returns the object at `key`, if it exists.
pub(super) fn object(key: &Key, published: &Published, now: Timestamp) -> Option<Object> {
    let state = &published.state;
    match key {
        Key::Organization(id) => shown::<Organization>(id, published).map(Object::Organization),
        Key::Gateway(name) => shown::<Gateway>(name, published).map(Object::Gateway),
        Key::Server(name) => shown::<Server>(name, published).map(Object::Server),
        Key::Credential(name) => shown::<Credential>(name, published).map(Object::Credential),
        Key::Token(name) => shown::<Token>(name, published).map(Object::Token),
        Key::Catalogue(name) => {
            let stored = state.catalogues.get(name);
            stored.map(|stored| Object::Catalogue(stored.object.to_proto()))
        }
        Key::Proxy(id) => {
            let stored = state.proxies.get(id);
            stored.map(|stored| Object::Proxy(show_proxy(&stored.object, published, now)))
        }
        Key::Marker
        | Key::GatewayId(_)
        | Key::SystemKey(_)
        | Key::JoinToken(_)
        | Key::Expelled(_)
        | Key::Request(_)
        | Key::History(_) => None,
    }
}

/// Returns the object of a deletion event. It contains only the name.
pub(super) fn tombstone(key: &Key) -> Option<Object> {
    Some(match key {
        Key::Organization(id) => Object::Organization(kinds::tombstone::<Organization>(id)),
        Key::Gateway(name) => Object::Gateway(kinds::tombstone::<Gateway>(name)),
        Key::Server(name) => Object::Server(kinds::tombstone::<Server>(name)),
        Key::Credential(name) => Object::Credential(kinds::tombstone::<Credential>(name)),
        Key::Token(name) => Object::Token(kinds::tombstone::<Token>(name)),
        Key::Catalogue(name) => Object::Catalogue(pb::Catalogue {
            name: Collection::Catalogues.format(name),
            ..Default::default()
        }),
        Key::Proxy(id) => Object::Proxy(pb::Proxy {
            name: resource_name::proxy(id),
            ..Default::default()
        }),
        Key::Marker
        | Key::GatewayId(_)
        | Key::SystemKey(_)
        | Key::JoinToken(_)
        | Key::Expelled(_)
        | Key::Request(_)
        | Key::History(_) => return None,
    })
}

fn plain<R: Resource>(published: &Published, each: &mut dyn FnMut(Option<&Slug>, Key, Look)) {
    for (id, stored) in R::shelf(&published.state).iter() {
        each(Some(R::org(id)), R::key(id), Look::Stored(stored.modified));
    }
}

fn shown<R: Resource>(id: &R::Id, published: &Published) -> Option<R::Proto> {
    let stored = R::shelf(&published.state).get(id)?;
    Some(kinds::show::<R>(id, stored, published))
}
