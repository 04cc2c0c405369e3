//! Keys of the store. Each object has one key; other keys are not used:
//!
//! ```text
//! /v1/desired/<org>/<kind>/<id>             written by operators: inputs of compile
//!            /<org>/organization/<org>
//! /v1/observed/<collection>/<org>/<id>      observed: server definitions are an input of compile
//!             /<collection>/<id>            observed, without an owner: proxy status is never one
//!             /catalogue-parts/<org>/<id>/<digest>   parts of definitions that are too large for one value; before the
//!                                           definitions in the order of keys, so that a listing has them first
//! /v1/system/marker                         epoch and time; written by every change of a compile input
//!           /epoch                          the same of the start of the epoch; guarded by these changes
//!           /gateway-ids/<id>               claim: organization and uid of the gateway that holds the id
//!           /keys/<name>                    sealed deployment keys
//!           /join-tokens/<hash>             join tokens
//!           /expelled/<id>                  expelled proxies, until their last certificate has expired
//!           /requests/<digest>              results of request ids, kept for an hour
//! /v1/history/<number>                      version log, bounded; number of twenty digits that increases with time
//! ```

use std::{fmt, str::FromStr};

use toolgate_model::{Digest, ObjectName, Slug, for_each_kind, kind::ObjectId};

pub use toolgate_model::kind::{ObjectKind, SnapshotRelevance};

#[cfg(test)]
mod tests;

/// Common prefix of all keys.
pub const ROOT: &str = "/v1/";

/// Folder of the join tokens, below [`ROOT`].
const JOIN_TOKENS: &str = "system/join-tokens";

/// Collection of the parts of definitions.
const PARTS: &str = "catalogue-parts";

/// Reference to an object of a kind, for code that is the same for all kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectReference<'a> {
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Organization that owns the object, for kinds in organizations.
    pub org: Option<&'a Slug>,
    /// Last part of the id.
    pub id: &'a Slug,
}

/// Error of a key outside the key layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key of this version of Toolgate")]
pub struct InvalidObjectKey(String);

macro_rules! define_keys {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        /// Parsed key.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ObjectKey {
            $($(#[$ddoc])* $D($DId),)*
            $($(#[$odoc])* $O($OId),)*
            /// Version marker, written by every change of a compile input.
            Marker,
            /// Marker of the start of the epoch, guarded by every change that writes the version marker.
            EpochStart,
            /// Claim of a gateway id by an organization.
            GatewayId(Slug),
            /// Sealed deployment key.
            SystemKey(Slug),
            /// Join token, by the hash of its secret.
            JoinToken(Digest),
            /// Expelled proxy.
            Expelled(Slug),
            /// Request record, by the digest of author and request id.
            Request(Digest),
            /// Part of the definitions of a server, by its digest.
            DefinitionsPart(ObjectName, Digest),
            /// Entry of the version log, by its number.
            History(u64),
        }

        impl ObjectKey {
            /// Returns the object of a kind at this key; `None` for bookkeeping keys.
            pub fn object(&self) -> Option<ObjectReference<'_>> {
                let (kind, (org, id)) = match self {
                    $(Self::$D(id) => (ObjectKind::$D, id.parts()),)*
                    $(Self::$O(id) => (ObjectKind::$O, id.parts()),)*
                    Self::Marker
                    | Self::EpochStart
                    | Self::GatewayId(_)
                    | Self::SystemKey(_)
                    | Self::JoinToken(_)
                    | Self::Expelled(_)
                    | Self::Request(_)
                    | Self::DefinitionsPart(..)
                    | Self::History(_) => return None,
                };
                Some(ObjectReference { kind, org, id })
            }

            /// Returns the key of an object of `kind`; `None` if the kind needs an organization and none is given, or
            /// the reverse.
            fn of_object(kind: ObjectKind, org: Option<Slug>, id: Slug) -> Option<Self> {
                match kind {
                    $(ObjectKind::$D => <$DId>::from_parts(org, id).map(Self::$D),)*
                    $(ObjectKind::$O => <$OId>::from_parts(org, id).map(Self::$O),)*
                }
            }

            /// Returns the text of a bookkeeping key, below [`ROOT`], and its description; `None` for an object.
            fn bookkeeping(&self) -> Option<(String, String)> {
                Some(match self {
                    $(Self::$D(_) => return None,)*
                    $(Self::$O(_) => return None,)*
                    Self::Marker => ("system/marker".to_owned(), "the version marker".to_owned()),
                    Self::EpochStart => {
                        ("system/epoch".to_owned(), "the start of the epoch".to_owned())
                    }
                    Self::GatewayId(id) => {
                        (format!("system/gateway-ids/{id}"), format!("the gateway id {id}"))
                    }
                    Self::SystemKey(name) => {
                        (format!("system/keys/{name}"), format!("the system key {name}"))
                    }
                    Self::JoinToken(hash) => (
                        format!("{JOIN_TOKENS}/{}", hash.to_hex()),
                        "the join token".to_owned(),
                    ),
                    Self::Expelled(id) => {
                        (format!("system/expelled/{id}"), format!("the expulsion of proxy {id}"))
                    }
                    Self::Request(digest) => (
                        format!("system/requests/{}", digest.to_hex()),
                        "the request id".to_owned(),
                    ),
                    Self::DefinitionsPart(server, digest) => (
                        format!(
                            "observed/{PARTS}/{}/{}/{}",
                            server.org,
                            server.id,
                            digest.to_hex()
                        ),
                        format!("a part of catalogue {server}"),
                    ),
                    Self::History(number) => (
                        format!("history/{number:020}"),
                        format!("entry {number} of the version log"),
                    ),
                })
            }
        }
    };
}

for_each_kind!(define_keys);

impl ObjectKey {
    /// Returns the prefix of the keys of join tokens.
    pub fn join_token_prefix() -> String {
        format!("{ROOT}{JOIN_TOKENS}/")
    }

    /// Returns the kind; `None` for bookkeeping keys.
    pub fn kind(&self) -> Option<ObjectKind> {
        self.object().map(|object| object.kind)
    }

    /// Returns the owning organization, if any. An organization owns itself.
    pub fn org(&self) -> Option<&Slug> {
        let object = self.object()?;
        let itself = (object.kind == ObjectKind::Organization).then_some(object.id);
        object.org.or(itself)
    }

    /// Returns `true` if operators write the object.
    pub fn is_desired(&self) -> bool {
        self.kind().is_some_and(ObjectKind::is_desired)
    }

    /// Returns the relation between the writes of the key and the version of the snapshot.
    pub fn snapshot_relevance(&self) -> SnapshotRelevance {
        match self.kind() {
            Some(kind) => kind.snapshot_relevance(),
            None if matches!(self, Self::Marker | Self::GatewayId(_)) => SnapshotRelevance::Always,
            None => SnapshotRelevance::Never,
        }
    }

    /// Returns `true` if every write of the key changes the version. A write of definitions changes it only if the
    /// compile input differs, in which case the marker is written in the same transaction.
    pub fn is_compiled(&self) -> bool {
        self.snapshot_relevance() == SnapshotRelevance::Always
    }

    /// Returns the name for messages, e.g. `gateway acme/tools`.
    pub fn describe(&self) -> String {
        let Some(ObjectReference { kind, org, id }) = self.object() else {
            let (_, description) = self.bookkeeping().unwrap_or_default();
            return description;
        };
        match org {
            Some(org) => format!("{kind} {org}/{id}"),
            None => format!("{kind} {id}"),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROOT)?;
        let Some(ObjectReference { kind, org, id }) = self.object() else {
            let (text, _) = self.bookkeeping().unwrap_or_default();
            return f.write_str(&text);
        };
        match (kind.is_desired(), org) {
            (true, org) => write!(f, "desired/{}/{kind}/{id}", org.unwrap_or(id)),
            (false, Some(org)) => write!(f, "observed/{}/{org}/{id}", kind.collection()),
            (false, None) => write!(f, "observed/{}/{id}", kind.collection()),
        }
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidObjectKey;

    fn from_str(text: &str) -> Result<Self, InvalidObjectKey> {
        parse(text).ok_or_else(|| InvalidObjectKey(text.chars().take(200).collect()))
    }
}

fn parse(text: &str) -> Option<ObjectKey> {
    let parts: Vec<&str> = text.strip_prefix(ROOT)?.split('/').collect();
    let slug = |text: &str| text.parse::<Slug>().ok();
    let key = match parts.as_slice() {
        ["desired", org, name, id] => {
            let kind = find_kind(|kind| kind.is_desired() && kind.as_str() == *name)?;
            let owner = match kind.is_in_organization() {
                true => Some(slug(org)?),
                false if org == id => None,
                false => return None,
            };
            ObjectKey::of_object(kind, owner, slug(id)?)?
        }
        ["observed", PARTS, org, id, digest] => {
            let server = ObjectName::new(slug(org)?, slug(id)?);
            ObjectKey::DefinitionsPart(server, from_hex(digest)?)
        }
        ["observed", collection, rest @ ..] => {
            let kind = find_kind(|kind| !kind.is_desired() && kind.collection() == *collection)?;
            match rest {
                [org, id] => ObjectKey::of_object(kind, Some(slug(org)?), slug(id)?)?,
                [id] => ObjectKey::of_object(kind, None, slug(id)?)?,
                _ => return None,
            }
        }
        ["system", "marker"] => ObjectKey::Marker,
        ["system", "epoch"] => ObjectKey::EpochStart,
        ["system", "gateway-ids", id] => ObjectKey::GatewayId(slug(id)?),
        ["system", "keys", name] => ObjectKey::SystemKey(slug(name)?),
        ["system", "join-tokens", hash] => ObjectKey::JoinToken(from_hex(hash)?),
        ["system", "expelled", id] => ObjectKey::Expelled(slug(id)?),
        ["system", "requests", digest] => ObjectKey::Request(from_hex(digest)?),
        ["history", number] if number.len() == 20 => {
            let digits = number.bytes().all(|c| c.is_ascii_digit());
            ObjectKey::History(digits.then(|| number.parse().ok())??)
        }
        _ => return None,
    };
    Some(key)
}

fn find_kind(fits: impl Fn(ObjectKind) -> bool) -> Option<ObjectKind> {
    ObjectKind::ALL.iter().copied().find(|kind| fits(*kind))
}

fn from_hex(text: &str) -> Option<Digest> {
    let canonical = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if text.len() != 64 || !text.bytes().all(canonical) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let at = index * 2;
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Digest(bytes))
}
