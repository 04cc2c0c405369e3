//! Table of the kinds of objects (resource kinds: `kind` of a document, the types that a `CustomResourceDefinition` or an
//! `apiVersion` has elsewhere). One row declares a kind: its names, the type and the id of its objects, and the roles
//! that may read and write it. The store keys, the state, the commands, the records, the admin API, its access rights
//! and the command line derive from the row; ARCHITECTURE.md lists what a new kind adds besides.

use std::fmt;

use crate::{AdminRole, ObjectMeta, ObjectName, Slug};

#[cfg(test)]
mod tests;

/// Declares the resource kinds. Calls the macro `$callback` with all rows, as `desired { rows } observed { rows }`. Objects
/// refer only to kinds of earlier rows.
///
/// A row is `Kind(object type, id type, table of the state, message of the API) { details }`. `id` names the field with
/// the id of an object. `writer` is the lowest role that may write objects of the kind in its own organization; every
/// role from viewer upwards may read them. `reader` is the lowest role that may read an observed kind; with `None` no role
/// may, only the system token.
/// `compiled` says when a write of an observed object changes the version of the snapshot; a write of a desired object
/// always does.
#[macro_export]
macro_rules! for_each_kind {
    ($callback:ident) => {
        $callback! {
            desired {
                /// Tenant.
                Organization($crate::Organization, $crate::Slug, organizations, Organization) {
                    name: "organization", collection: "organizations", service: "Organizations",
                    short: ["org"], id: id, writer: Admin
                }
                /// Credential that proxies present to a server.
                Credential($crate::Credential, $crate::ObjectName, credentials, Credential) {
                    name: "credential", collection: "credentials", service: "Credentials",
                    short: ["cred"], id: name, writer: Admin
                }
                /// MCP server.
                Server($crate::Server, $crate::ObjectName, servers, Server) {
                    name: "server", collection: "servers", service: "Servers",
                    short: ["srv"], id: name, writer: Editor
                }
                /// Issuer of tokens that prove the identity of callers of gateways.
                IdentityProvider($crate::IdentityProvider, $crate::ObjectName, identity_providers, IdentityProvider) {
                    name: "identityprovider", collection: "identityproviders", service: "IdentityProviders",
                    short: ["idp"], id: name, writer: Admin
                }
                /// MCP endpoint that clients connect to.
                Gateway($crate::Gateway, $crate::ObjectName, gateways, Gateway) {
                    name: "gateway", collection: "gateways", service: "Gateways",
                    short: ["gw"], id: name, writer: Editor
                }
                /// Bearer token of a Toolgate client.
                Token($crate::Token, $crate::ObjectName, tokens, Token) {
                    name: "token", collection: "tokens", service: "Tokens",
                    short: ["tok"], id: name, writer: Admin
                }
            }
            observed {
                /// Definitions that a server offers, as probed, by the name of the server.
                Definitions($crate::ServerDefinitions, $crate::ObjectName, definitions, Catalogue) {
                    name: "catalogue", collection: "catalogues", service: "Catalogues",
                    short: ["cat"], id: server, reader: Viewer, compiled: WhenChanged
                }
                /// Data-plane process.
                Proxy($crate::ProxyStatus, $crate::Slug, proxies, Proxy) {
                    name: "proxy", collection: "proxies", service: "Proxies",
                    short: [], id: id, reader: None, compiled: Never
                }
            }
        }
    };
}

/// Object of one kind.
pub trait KindObject: Send + Sync + Sized + 'static {
    /// Id of an object among those of its kind.
    type Id: ObjectId;

    /// Kind of the object.
    const KIND: ObjectKind;

    /// Returns the id of the object.
    fn id(&self) -> &Self::Id;
}

/// Object of a kind that operators write.
pub trait DesiredObject: KindObject {
    /// Returns the metadata that all kinds have.
    fn meta(&self) -> &ObjectMeta;

    /// Returns the metadata for a change.
    fn meta_mut(&mut self) -> &mut ObjectMeta;
}

/// Id of an object: of a kind whose objects belong to organizations, or of another one.
pub trait ObjectId: Clone + Ord + fmt::Debug + Send + Sync + 'static {
    /// True if the objects belong to organizations.
    const IN_ORGANIZATION: bool;

    /// Returns the organization that owns the object, if its kind has owners, and the last part of the id.
    fn parts(&self) -> (Option<&Slug>, &Slug);

    /// Creates an id; `None` if the organization is missing, or given for a kind without owners.
    fn from_parts(org: Option<Slug>, id: Slug) -> Option<Self>;
}

/// Relation between the writes of a kind and the version of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotRelevance {
    /// Every write changes the version.
    Always,
    /// A write changes the version if the content that is compiled has changed.
    WhenChanged,
    /// The kind is not an input of the snapshot.
    Never,
}

macro_rules! define_kinds {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) {
            name: $dname:literal, collection: $dcollection:literal, service: $dservice:literal,
            short: [$($dshort:literal),*], id: $did:ident, writer: $Writer:ident
        })* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) {
            name: $oname:literal, collection: $ocollection:literal, service: $oservice:literal,
            short: [$($oshort:literal),*], id: $oid:ident, reader: $Reader:ident, compiled: $Compiled:ident
        })* }
    ) => {
        /// Kinds of objects in the API: written by operators, or observed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ObjectKind {
            $($(#[$ddoc])* $D,)*
            $($(#[$odoc])* $O,)*
        }

        impl ObjectKind {
            /// All kinds: first the kinds that operators write, each after the kinds that its objects refer to.
            pub const ALL: &[Self] = &[$(Self::$D,)* $(Self::$O,)*];

            /// Returns the name of the kind as used in keys, logs and messages.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$D => $dname,)* $(Self::$O => $oname,)* }
            }

            /// Returns the collection of the kind in resource names, e.g. `gateways`.
            pub const fn collection(self) -> &'static str {
                match self { $(Self::$D => $dcollection,)* $(Self::$O => $ocollection,)* }
            }

            /// Returns the service of the kind in the admin API, e.g. `Gateways`.
            pub const fn service(self) -> &'static str {
                match self { $(Self::$D => $dservice,)* $(Self::$O => $oservice,)* }
            }

            /// Returns the message of the kind in the admin API, e.g. `Gateway`.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$D => stringify!($DMessage),)* $(Self::$O => stringify!($OMessage),)* }
            }

            /// Returns the field with an object of the kind in requests of the admin API, e.g. `identity_provider`.
            pub fn field(self) -> String {
                let mut field = String::new();
                for c in self.message().chars() {
                    if c.is_ascii_uppercase() && !field.is_empty() {
                        field.push('_');
                    }
                    field.push(c.to_ascii_lowercase());
                }
                field
            }

            /// Returns the short names of the kind at the command line.
            pub const fn short_names(self) -> &'static [&'static str] {
                match self { $(Self::$D => &[$($dshort),*],)* $(Self::$O => &[$($oshort),*],)* }
            }

            /// Returns `true` if operators write objects of this kind.
            pub const fn is_desired(self) -> bool {
                match self { $(Self::$D => true,)* $(Self::$O => false,)* }
            }

            /// Returns `true` if objects of this kind belong to organizations.
            pub const fn is_in_organization(self) -> bool {
                match self {
                    $(Self::$D => <$DId as ObjectId>::IN_ORGANIZATION,)*
                    $(Self::$O => <$OId as ObjectId>::IN_ORGANIZATION,)*
                }
            }

            /// Returns `true` if no organization owns the objects. An organization owns itself.
            pub const fn is_deployment_wide(self) -> bool {
                !self.is_in_organization() && !matches!(self, Self::Organization)
            }

            /// Returns the lowest role that may read objects of this kind in its own organization;
            /// [`AdminRole::None`] if no role may.
            pub const fn read_role(self) -> AdminRole {
                match self { $(Self::$D => AdminRole::Viewer,)* $(Self::$O => AdminRole::$Reader,)* }
            }

            /// Returns the lowest role that may write objects of this kind in its own organization;
            /// [`AdminRole::None`] if no role may.
            pub const fn write_role(self) -> AdminRole {
                match self { $(Self::$D => AdminRole::$Writer,)* $(Self::$O => AdminRole::None,)* }
            }

            /// Returns the relation between writes of this kind and the version of the snapshot. Desired objects of
            /// all kinds change it: the marker that they write keeps two control planes from committing changes that
            /// contradict each other.
            pub const fn snapshot_relevance(self) -> SnapshotRelevance {
                match self {
                    $(Self::$D => SnapshotRelevance::Always,)*
                    $(Self::$O => SnapshotRelevance::$Compiled,)*
                }
            }
        }

        $(
            impl KindObject for $DObject {
                type Id = $DId;

                const KIND: ObjectKind = ObjectKind::$D;

                fn id(&self) -> &$DId {
                    &self.$did
                }
            }

            impl DesiredObject for $DObject {
                fn meta(&self) -> &ObjectMeta {
                    &self.meta
                }

                fn meta_mut(&mut self) -> &mut ObjectMeta {
                    &mut self.meta
                }
            }
        )*

        $(
            impl KindObject for $OObject {
                type Id = $OId;

                const KIND: ObjectKind = ObjectKind::$O;

                fn id(&self) -> &$OId {
                    &self.$oid
                }
            }
        )*
    };
}

for_each_kind!(define_kinds);

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ObjectId for Slug {
    const IN_ORGANIZATION: bool = false;

    fn parts(&self) -> (Option<&Slug>, &Slug) {
        (None, self)
    }

    fn from_parts(org: Option<Slug>, id: Slug) -> Option<Self> {
        org.is_none().then_some(id)
    }
}

impl ObjectId for ObjectName {
    const IN_ORGANIZATION: bool = true;

    fn parts(&self) -> (Option<&Slug>, &Slug) {
        (Some(&self.org), &self.id)
    }

    fn from_parts(org: Option<Slug>, id: Slug) -> Option<Self> {
        org.map(|org| Self { org, id })
    }
}
