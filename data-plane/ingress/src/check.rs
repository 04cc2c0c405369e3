//! Checks of a request head that need no tenant configuration: host, origin, field names, transfer coding and content
//! encoding.

use http::{HeaderMap, header, request::Parts};
use toolgate_data_core::Refusal;
use toolgate_runtime::hosts::HostPolicy;

use crate::origins::OriginAllowlist;

/// Returns an error if the request head is rejected.
pub(crate) fn check_head(
    head: &Parts,
    hosts: &HostPolicy,
    origins: &OriginAllowlist,
) -> Result<(), Refusal> {
    hosts
        .check(&head.uri, &head.headers)
        .map_err(|_forbidden| Refusal::Host)?;
    origins.check(&head.headers, hosts.allowed())?;
    check_field_names(&head.headers)?;
    check_transfer_coding(&head.headers)?;
    check_content_encoding(&head.headers)
}

/// Rejects field names with an underscore: some programs read `x_a` as `x-a`, so the field could be taken for another.
fn check_field_names(headers: &HeaderMap) -> Result<(), Refusal> {
    let ambiguous = |name: &header::HeaderName| name.as_str().as_bytes().contains(&b'_');
    if headers.keys().any(ambiguous) {
        return Err(Refusal::InvalidRequest(
            "field names must not hold an underscore",
        ));
    }
    Ok(())
}

/// Rejects every transfer coding but a single `chunked`, so that the end of the body is unambiguous (RFC 9112, section
/// 6.1). hyper has already removed a `Content-Length` beside it and will close the connection.
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let plain = |coding: &http::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_none_or(plain) && codings.next().is_none() {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(
        "the transfer coding must be `chunked`, once",
    ))
}

/// Rejects compressed bodies: they can expand to a thousand times their length.
fn check_content_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::ContentCoding);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
