//! Credential as it is presented in each request: headers, and parameters appended to the query of the URL.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue, Uri};
use toolgate_model::FieldPlace;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::error::ClientError;

/// Headers and query parameters of a credential. The values are never shown.
#[derive(Clone, Default)]
pub struct PresentedCredential {
    headers: Vec<(HeaderName, HeaderValue)>,
    query_names: Vec<String>,
    /// Percent-encoded parameters, joined by `&`.
    query: Arc<Zeroizing<String>>,
}

impl PresentedCredential {
    /// Returns the credential of one header.
    pub fn header(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self {
            headers: vec![(name, value)],
            ..Self::default()
        }
    }

    /// Encodes headers and query parameters. Returns `None` if one of them is not valid in a request.
    pub fn encode<'a>(
        fields: impl IntoIterator<Item = (FieldPlace, &'a str, &'a [u8])>,
    ) -> Option<Self> {
        let (mut headers, mut query_names) = (Vec::new(), Vec::new());
        let mut query = Zeroizing::new(String::new());
        for (place, name, value) in fields {
            match place {
                FieldPlace::Header => {
                    let mut value = HeaderValue::from_bytes(value).ok()?;
                    value.set_sensitive(true);
                    headers.push((HeaderName::from_bytes(name.as_bytes()).ok()?, value));
                }
                FieldPlace::Query => {
                    if !query.is_empty() {
                        query.push('&');
                    }
                    percent_encode(name.as_bytes(), &mut query);
                    query.push('=');
                    percent_encode(value, &mut query);
                    query_names.push(name.to_owned());
                }
            }
        }
        Some(Self {
            headers,
            query_names,
            query: Arc::new(query),
        })
    }

    /// Headers of each request.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Returns the URI of a request: `uri` with the parameters after those of its query.
    pub(crate) fn apply_to(&self, uri: &Uri) -> Result<Uri, ClientError> {
        if self.query.is_empty() {
            return Ok(uri.clone());
        }
        let path = uri.path();
        let added = self.query.as_str();
        let target = match uri.query() {
            None | Some("") => format!("{path}?{added}"),
            Some(own) => format!("{path}?{own}&{added}"),
        };
        let target = Zeroizing::new(target);
        let mut parts = uri.clone().into_parts();
        // The errors of these conversions are left out: they could quote the parameters.
        let invalid =
            "the URL of the server is too long with the query parameters of its credential";
        let target = target.as_str().parse();
        parts.path_and_query = Some(target.map_err(|_| ClientError::Request(invalid))?);
        Uri::from_parts(parts).map_err(|_| ClientError::Request(invalid))
    }
}

/// Encodes every byte that is special in a query; a space as `%20`, which all servers read alike.
fn percent_encode(bytes: &[u8], into: &mut Zeroizing<String>) {
    for piece in byte_serialize(bytes) {
        into.push_str(if piece == "+" { "%20" } else { piece });
    }
}

impl fmt::Debug for PresentedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.headers.iter().map(|(name, _)| name.as_str());
        let query = self.query_names.iter().map(String::as_str);
        f.debug_list().entries(headers.chain(query)).finish()
    }
}

#[cfg(test)]
mod tests;
