//! Wishes to write, already understood: proto became model at the edge, and leave has been given there.

use toolgate_model::{
    Catalogue, Credential, Digest, Gateway, Name, Organization, Proxy, SealedBlob, Server, Slug,
    Timestamp, Token, TokenHash,
};

use crate::{key::Key, object::JoinToken, port::Revision};

/// A wish to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Write an object that is not there yet. Times in its meta are set by decide.
    Create(Desired),
    /// Replace an object with this one (the edge has applied the update mask to what it read). What may not change
    /// is kept as stored: creation time, and a token's hash, hint, revocation and system mark.
    Update {
        /// As it shall be.
        object: Desired,
        /// The revision that was read.
        expected: Revision,
    },
    /// Delete a desired object. Works on quarantined ones too.
    Delete {
        /// Which.
        key: Key,
        /// The revision that was read; none deletes whatever is there.
        expected: Option<Revision>,
    },
    /// Make a token stop working; the record stays. Revoking twice is not an error.
    RevokeToken(Name),
    /// Keep what a probe saw.
    RecordCatalogue(Catalogue),
    /// Keep what is known of a proxy.
    RecordProxy(Proxy),
    /// Forget a proxy, and let nobody in under its id until its last certificate has ended.
    ForgetProxy(Slug),
    /// Give leave to join.
    CreateJoinToken(JoinToken),
    /// Take leave to join: works once. [`crate::Rejection::NotFound`] if it is unknown, used or expired.
    UseJoinToken(TokenHash),
    /// Keep a sealed key of the deployment that is not there yet.
    CreateSystemKey {
        /// Its name.
        name: Slug,
        /// The key, sealed.
        sealed: SealedBlob,
    },
    /// Replace a sealed key of the deployment by the same key, sealed anew.
    ResealSystemKey {
        /// Its name.
        name: Slug,
        /// The key, sealed.
        sealed: SealedBlob,
        /// The revision that was read.
        expected: Revision,
    },
    /// Start a new epoch: the store has been restored from a copy. Also writes the very first marker.
    BumpEpoch,
}

/// An object that operators write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Desired {
    /// A tenant.
    Organization(Organization),
    /// An endpoint.
    Gateway(Gateway),
    /// An MCP server.
    Server(Server),
    /// What we present to a server.
    Credential(Credential),
    /// A bearer token.
    Token(Token),
}

/// What decide needs besides state and command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The time.
    pub now: Timestamp,
    /// Who, for the version log: e.g. `organizations/acme/tokens/ci`.
    pub author: String,
    /// Makes a retry harmless.
    pub request: Option<RequestId>,
}

/// A request id with a digest of the request it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    /// Chosen by the caller.
    pub id: String,
    /// Of everything else in the request.
    pub digest: Digest,
}

impl Desired {
    /// Its key.
    pub fn key(&self) -> Key {
        match self {
            Self::Organization(it) => Key::Organization(it.id.clone()),
            Self::Gateway(it) => Key::Gateway(it.name.clone()),
            Self::Server(it) => Key::Server(it.name.clone()),
            Self::Credential(it) => Key::Credential(it.name.clone()),
            Self::Token(it) => Key::Token(it.name.clone()),
        }
    }
}

impl RequestId {
    /// Where its record lies. Ids of different authors do not meet.
    pub fn key(&self, author: &str) -> Key {
        Key::Request(self.record_digest(author))
    }

    /// The same, as the state is asked for it.
    pub fn record_digest(&self, author: &str) -> Digest {
        Digest::of(&(author, &self.id))
    }
}
