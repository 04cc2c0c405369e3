//! Kinds of credentials: the parts of a request that carry their values.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{CredentialScope, SealedBlob};

/// Kind of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialKind {
    /// Header with a fixed value.
    StaticHeader {
        /// Header name in lower case.
        header: String,
        /// Sealed header value.
        value: SealedBlob,
    },
    /// Several headers and query parameters with fixed values: the headers first.
    RequestFields(Vec<SealedField>),
}

/// Part of a request that carries a value of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FieldPlace {
    /// Header.
    Header,
    /// Query parameter.
    Query,
}

/// Header or query parameter of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedField {
    /// Part of the request.
    pub place: FieldPlace,
    /// Header name in lower case, or name of the query parameter before percent-encoding.
    pub name: String,
    /// Sealed value.
    pub value: SealedBlob,
}

impl CredentialKind {
    /// Returns the name of a query parameter of `url` that the credential sets too. Names are compared without case: some
    /// servers read `apiKey` and `apikey` as one parameter.
    pub fn query_conflict(&self, url: &Url) -> Option<&str> {
        let Self::RequestFields(fields) = self else {
            return None;
        };
        let query = fields.iter().filter(|it| it.place == FieldPlace::Query);
        let in_url = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.any(|(given, _)| given.eq_ignore_ascii_case(name))
        };
        let mut names = query.map(|field| field.name.as_str());
        names.find(|name| in_url(name))
    }

    /// Principals that share the resolved credential.
    pub fn scope(&self) -> CredentialScope {
        match self {
            Self::StaticHeader { .. } | Self::RequestFields(_) => CredentialScope::Shared,
        }
    }
}

#[cfg(test)]
mod tests;
