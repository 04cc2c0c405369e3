//! What both planes mean by a word. Values here are valid by construction: parsing happens at the doors
//! (`shared/wire`, the admin API), and nothing inside a plane checks twice. Pure: no IO, no clock, no randomness.

pub mod desired;
pub mod digest;
pub mod name;
pub mod observed;
pub mod principal;
pub mod secret;
pub mod snapshot;
pub mod time;
pub mod version;

pub use desired::{
    AdminRole, Binding, Credential, CredentialKind, DriftPolicy, EraPolicy, Gateway, Listing,
    MaxAnswer, Meta, Organization, PrefixMode, Reach, RelayPolicy, Selection, Server, Shape,
    Sharing, Timeouts, Token, TokenScope,
};
pub use digest::Digest;
pub use name::{InvalidSlug, Name, Slug};
pub use observed::{Catalogue, Definition, Era, Proxy, Refusal};
pub use principal::{Principal, Subject};
pub use secret::{SealedBlob, TokenHash};
pub use snapshot::{Delta, Resource, ResourceKey, ResourceKind, Snapshot, UriMode};
pub use time::Timestamp;
pub use version::Version;
