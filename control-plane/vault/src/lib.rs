//! Cryptography of the control plane: sealing of secrets before they are stored, bearer tokens and their keyed
//! hashes, join tokens, and the certificate authority. Everything here is a function of bytes and randomness,
//! except for the key file: callers store all other keys.

pub mod authority;
pub mod identity;
pub mod key_file;
pub mod secret_sealer;
pub mod token;

pub use authority::{
    AuthorityError, LocalAuthority, PROXY_CERTIFICATE_TTL, SerializedAuthority, SignedCertificate,
};
pub use identity::{PeerIdentity, peer_identity};
pub use key_file::{KeyEncryptionKeys, KeyFileError};
pub use secret_sealer::EnvelopeSealer;
pub use token::{MintedToken, TokenMinter};
