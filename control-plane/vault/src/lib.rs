//! Keys and what is made with them: sealing of secrets before they reach the store, bearer tokens and their keyed
//! hashes, the certificate authority of the planes, join tokens. Everything here is a function of bytes and
//! randomness; where keys lie is the caller's choice, but for the one key file that opens all others.

pub mod authority;
pub mod envelope;
pub mod identity;
pub mod key_file;
pub mod token;

pub use authority::{Authority, AuthorityError, Issued, PROXY_LIFE, SerializedAuthority};
pub use envelope::Vault;
pub use identity::{PeerIdentity, peer_identity};
pub use key_file::{KeyFileError, KeyRing};
pub use token::{MintedToken, Minter};
