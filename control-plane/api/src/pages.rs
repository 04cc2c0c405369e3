//! Page tokens. A token says after which id the next page starts, and is signed for one caller, one method and one
//! query: handed to another, it is refused.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::Status;

use crate::{
    caller::Caller,
    desk::{Desk, Purpose},
    status,
};

/// Objects of a page when none are asked for.
const DEFAULT_SIZE: usize = 100;
/// Objects of a page at most.
const MAX_SIZE: usize = 1000;
/// A page closes when it reaches this many bytes; half of what a client takes in one message by default.
pub(crate) const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of the signature.
const SIGNATURE: usize = 16;
/// Longest token that is looked at.
const MAX_TOKEN: usize = 512;

/// Which page of which list.
pub(crate) struct Query<'a> {
    pub(crate) desk: &'a dyn Desk,
    pub(crate) caller: &'a Caller,
    /// What the list is of: the parent's name.
    pub(crate) scope: &'a str,
}

impl Query<'_> {
    /// The token for the page after `last`.
    pub(crate) fn token(&self, last: &str) -> String {
        let mut bytes = self.signature(last).to_vec();
        bytes.extend_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// After what the page starts that `token` asks for; none for the first.
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
        let (signature, last) = bytes.split_first_chunk::<SIGNATURE>().ok_or_else(wrong)?;
        let last = std::str::from_utf8(last).map_err(|_malformed| wrong())?;
        let genuine = subtle::ConstantTimeEq::ct_eq(&signature[..], &self.signature(last)[..]);
        if !bool::from(genuine) {
            return Err(wrong());
        }
        Ok(Some(last.to_owned()))
    }

    fn signature(&self, last: &str) -> [u8; SIGNATURE] {
        let Self {
            desk,
            caller,
            scope,
        } = self;
        let signed = [caller.method, &caller.author(), scope, last].join("\0");
        let hash = desk.hash(Purpose::Cursor, signed.as_bytes());
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(&hash.0[..SIGNATURE]);
        signature
    }
}

/// How many objects to put on a page.
pub(crate) fn size(asked: i32) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(asked) => Ok(asked.min(MAX_SIZE)),
        Err(_negative) => Err(status::invalid(
            "page_size",
            "is negative: use 1 to 1000, or 0",
        )),
    }
}
