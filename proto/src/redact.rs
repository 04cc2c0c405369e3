//! `Debug` implementations for messages that contain a plaintext secret. They print the name only, so that a message
//! logged by mistake reveals nothing.

use std::fmt;

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
    crate::credential::v1::SealKey,
);
