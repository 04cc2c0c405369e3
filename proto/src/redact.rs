//! `Debug` for the messages that carry an open secret: the name, never the content. A message that is logged by
//! mistake then tells nothing.

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
    crate::admin::v1::CreateTokenResponse,
    crate::admin::v1::JoinToken,
    crate::push::v1::JoinRequest,
    crate::push::v1::Token,
    crate::credential::v1::ResolveResponse,
    crate::credential::v1::Keyring,
    crate::credential::v1::SealKey,
);
