//! Handling of messages that contain a plaintext secret: `Debug` prints the name only, so that a message logged by
//! mistake reveals nothing, and messages between the planes overwrite it when they are dropped.

use std::fmt;

use zeroize::Zeroize as _;

use crate::credential::v1::{ClientStateKey, Keyring, RequestField, ResolveResponse};

macro_rules! redacted {
    ($($message:ty),* $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), "(…)"))
            }
        }
    )*};
}

redacted!(
    crate::admin::v1::StaticHeader,
    crate::admin::v1::QueryParameter,
    crate::admin::v1::CreateTokenResponse,
    crate::admin::v1::JoinToken,
    crate::push::v1::JoinRequest,
    crate::push::v1::Token,
    crate::credential::v1::ResolveResponse,
    crate::credential::v1::RequestField,
    crate::credential::v1::Keyring,
    crate::credential::v1::ClientStateKey,
);

impl Drop for Keyring {
    fn drop(&mut self) {
        self.token_key.zeroize();
    }
}

impl Drop for ResolveResponse {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl Drop for RequestField {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl Drop for ClientStateKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
