//! What is refused before anybody asks what a request means.

use http::{HeaderMap, header, request::Parts};
use toolgate_data_core::Refusal;

use crate::hosts::Hosts;

/// Whether the head may pass.
pub(crate) fn check(head: &Parts, hosts: &Hosts) -> Result<(), Refusal> {
    hosts.check(&head.uri, &head.headers)?;
    names(&head.headers)?;
    framing(&head.headers)?;
    encoding(&head.headers)
}

/// Some programs read `x_a` as `x-a`; a field that can be read as another one is refused.
fn names(headers: &HeaderMap) -> Result<(), Refusal> {
    let ambiguous = |name: &header::HeaderName| name.as_str().as_bytes().contains(&b'_');
    if headers.keys().any(ambiguous) {
        return Err(Refusal::InvalidRequest(
            "field names must not hold an underscore",
        ));
    }
    Ok(())
}

/// Where a body ends must not be a matter of opinion: of all transfer codings only the plain one is taken (RFC 9112,
/// section 6.1). A length beside it has been dropped by then, and the connection will be closed.
fn framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let plain = |coding: &http::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_none_or(plain) && codings.next().is_none() {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(
        "the transfer coding must be `chunked`, once",
    ))
}

/// A compressed body can be a thousand times what its length says.
fn encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::MediaType);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
