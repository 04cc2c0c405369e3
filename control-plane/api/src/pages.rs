//! Page tokens. A token contains the id after which the next page starts. It is signed for one caller, one method and
//! one parent, and is rejected for any other.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::Status;
use toolgate_control_core::port::CursorSigner;

use crate::{caller::AdminCaller, status};

/// Default number of objects in a page.
const DEFAULT_SIZE: usize = 100;
/// Maximum number of objects in a page.
const MAX_SIZE: usize = 1000;
/// Size in bytes at which a page is closed: half of the default message limit of a gRPC client.
pub(crate) const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Length of the signature, in bytes.
const SIGNATURE_BYTES: usize = 16;
/// Maximum length of a page token, in bytes.
const MAX_TOKEN: usize = 512;

/// List that a page token belongs to.
pub(crate) struct PageQuery<'a> {
    pub(crate) cursors: &'a dyn CursorSigner,
    pub(crate) caller: &'a AdminCaller,
    /// Name of the parent of the list.
    pub(crate) scope: &'a str,
}

impl PageQuery<'_> {
    /// Returns the token of the page after `last`.
    pub(crate) fn token(&self, last: &str) -> String {
        let mut bytes = self.signature(last).to_vec();
        bytes.extend_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies `token` and returns the id after which its page starts; `None` for the first page.
    pub(crate) fn after(&self, token: &str) -> Result<Option<String>, Status> {
        if token.is_empty() {
            return Ok(None);
        }
        let reason = "is not a token of this list: start again without one";
        let wrong = || status::invalid("page_token", reason);
        if token.len() > MAX_TOKEN {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_malformed| wrong())?;
        let (signature, last) = bytes
            .split_first_chunk::<SIGNATURE_BYTES>()
            .ok_or_else(wrong)?;
        let last = std::str::from_utf8(last).map_err(|_malformed| wrong())?;
        let genuine = subtle::ConstantTimeEq::ct_eq(&signature[..], &self.signature(last)[..]);
        if !bool::from(genuine) {
            return Err(wrong());
        }
        Ok(Some(last.to_owned()))
    }

    fn signature(&self, last: &str) -> [u8; SIGNATURE_BYTES] {
        let Self {
            cursors,
            caller,
            scope,
        } = self;
        let signed = [caller.method, &caller.author(), scope, last].join("\0");
        let hash = cursors.sign(signed.as_bytes());
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&hash.0[..SIGNATURE_BYTES]);
        signature
    }
}

/// Returns the number of objects to put on a page.
pub(crate) fn size(requested: i32) -> Result<usize, Status> {
    match usize::try_from(requested) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(requested) => Ok(requested.min(MAX_SIZE)),
        Err(_negative) => Err(status::invalid(
            "page_size",
            "is negative: use 1 to 1000, or 0",
        )),
    }
}
