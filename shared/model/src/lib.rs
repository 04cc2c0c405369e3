//! Domain types shared by the control plane and the data plane. Values are valid by construction: they are validated
//! where they enter (`shared/wire`, the admin API) and not checked again inside a plane. The crate is pure: no IO, no
//! clock, no randomness.

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
