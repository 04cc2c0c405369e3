//! Credential as it is presented in each request: headers, and parameters appended to the query of the URL.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri};
use toolgate_model::FieldPlace;
use url::{Url, form_urlencoded::byte_serialize};
use zeroize::Zeroizing;

/// Minimum length of a value that is searched in texts of servers. A shorter one is part of many words.
const MIN_HIDDEN: usize = 6;

/// Headers and query parameters of a credential. The values are never shown. Cheap to clone.
#[derive(Clone)]
pub struct PresentedCredential(Arc<PresentedFields>);

#[derive(Default)]
struct PresentedFields {
    headers: Vec<(HeaderName, HeaderValue)>,
    query_names: Vec<String>,
    /// Percent-encoded parameters, joined by `&`.
    query: Zeroizing<String>,
    /// Values as they may appear in a text.
    hidden: Vec<Zeroizing<String>>,
}

impl PresentedCredential {
    /// Returns the credential of one header.
    pub fn header(name: HeaderName, value: HeaderValue) -> Self {
        let mut fields = PresentedFields::default();
        fields.add_header(name, value);
        Self(Arc::new(fields))
    }

    /// Encodes headers and query parameters. Returns `None` if one of them is not valid in a request.
    pub fn encode<'a>(
        fields: impl IntoIterator<Item = (FieldPlace, &'a str, &'a [u8])>,
    ) -> Option<Self> {
        let mut encoded = PresentedFields::default();
        for (place, name, value) in fields {
            match place {
                FieldPlace::Header => {
                    let value = HeaderValue::from_bytes(value).ok()?;
                    encoded.add_header(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
                }
                FieldPlace::Query => encoded.add_parameter(name, value),
            }
        }
        Some(Self(Arc::new(encoded)))
    }

    /// Headers of each request.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// Returns the URI of a request: `uri` with the parameters after those of its query. Returns `None` if it becomes too
    /// long.
    pub(crate) fn apply_to(&self, uri: &Uri) -> Option<Uri> {
        if self.0.query.is_empty() {
            return Some(uri.clone());
        }
        let path = uri.path();
        let added = self.0.query.as_str();
        let target = match uri.query() {
            None | Some("") => format!("{path}?{added}"),
            Some(own) => format!("{path}?{own}&{added}"),
        };
        let target = Zeroizing::new(target);
        let mut parts = uri.clone().into_parts();
        // The errors of these conversions are left out: they could quote the parameters.
        parts.path_and_query = Some(target.as_str().parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Removes the parameters of the credential from a URL that a server announced, which may repeat those of the request.
    pub(crate) fn remove_from(&self, url: &mut Url) {
        let names = &self.0.query_names;
        let is_own = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
        if !url.query_pairs().any(|(name, _)| is_own(&name)) {
            return;
        }
        let kept = url.query_pairs().filter(|(name, _)| !is_own(name));
        let kept: Vec<(String, String)> = kept
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        match kept.is_empty() {
            true => url.set_query(None),
            false => drop(url.query_pairs_mut().clear().extend_pairs(kept)),
        }
    }

    /// Returns a body of a server without the values.
    pub(crate) fn hidden_in(&self, body: Bytes) -> Bytes {
        let Ok(text) = std::str::from_utf8(&body) else {
            return body;
        };
        if !self
            .0
            .hidden
            .iter()
            .any(|value| text.contains(value.as_str()))
        {
            return body;
        }
        let mut text = text.to_owned();
        self.hide_in(&mut text);
        text.into()
    }

    /// Replaces the values in a text of a server, which may quote the URL or the headers of the request.
    pub(crate) fn hide_in(&self, text: &mut String) {
        for value in &self.0.hidden {
            if text.contains(value.as_str()) {
                *text = text.replace(value.as_str(), "(credential)");
            }
        }
    }
}

impl PresentedFields {
    fn add_header(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
            self.hide(text);
            // A server may quote the value without its scheme, such as `Bearer`.
            if let Some((_scheme, rest)) = text.split_once(' ') {
                self.hide(rest);
            }
        }
        self.headers.push((name, value));
    }

    fn add_parameter(&mut self, name: &str, value: &[u8]) {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        percent_encode(name.as_bytes(), &mut self.query);
        self.query.push('=');
        percent_encode(value, &mut self.query);
        if let Ok(value) = std::str::from_utf8(value) {
            self.hide(value);
        }
        self.query_names.push(name.to_owned());
    }

    /// Hides a value, also as it stands in a JSON string and in a URL.
    fn hide(&mut self, value: &str) {
        if value.len() < MIN_HIDDEN {
            return;
        }
        let quoted = Zeroizing::new(serde_json::Value::from(value).to_string());
        let in_json = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let in_json = in_json.unwrap_or_default().to_owned();
        let mut in_form = Zeroizing::new(String::new());
        percent_encode(value.as_bytes(), &mut in_form);
        // RFC 3986 leaves the tilde as it is, and forms write a space as a plus.
        let in_url = in_form.replace("%7E", "~").replace('*', "%2A");
        let with_plus = in_form.replace("%20", "+");
        let forms = [
            // Some encoders escape the slash too.
            in_json.replace('/', "\\/"),
            in_json,
            with_lower_case_escapes(&in_form),
            with_lower_case_escapes(&in_url),
            with_lower_case_escapes(&with_plus),
            in_form.to_string(),
            in_url,
            with_plus,
            value.to_owned(),
        ];
        for form in forms.map(Zeroizing::new) {
            if !self.hidden.contains(&form) {
                self.hidden.push(form);
            }
        }
        // A value that begins with another one is replaced as a whole.
        self.hidden
            .sort_by_key(|form| std::cmp::Reverse(form.len()));
    }
}

/// Returns percent-encoded text with the digits of its escapes in lower case (RFC 3986, section 2.1).
fn with_lower_case_escapes(encoded: &str) -> String {
    let mut escape = 0;
    let lower = encoded.chars().map(|c| {
        let is_digit = escape > 0;
        escape = if c == '%' {
            2
        } else {
            escape - u8::from(is_digit)
        };
        if is_digit { c.to_ascii_lowercase() } else { c }
    });
    lower.collect()
}

/// Encodes every byte that is special in a query; a space as `%20`, which all servers read alike.
fn percent_encode(bytes: &[u8], into: &mut Zeroizing<String>) {
    for piece in byte_serialize(bytes) {
        into.push_str(if piece == "+" { "%20" } else { piece });
    }
}

impl fmt::Debug for PresentedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.0.headers.iter().map(|(name, _)| name.as_str());
        let query = self.0.query_names.iter().map(String::as_str);
        f.debug_list().entries(headers.chain(query)).finish()
    }
}

#[cfg(test)]
mod tests;
