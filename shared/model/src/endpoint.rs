//! Source of a server: the endpoints at which it answers.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// Source of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerSource {
    /// Server that is run elsewhere.
    Remote {
        /// Endpoints of the server.
        endpoints: EndpointList,
    },
}

/// Address at which a server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Streamable HTTP endpoint: http or https, without userinfo or fragment.
    pub url: Url,
    /// Region of the endpoint. Proxies of the same region prefer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// List of endpoints in order of preference; never empty.
///
/// Serialized like the URL of builds that knew one endpoint only, if there is one endpoint without a region. Planes of
/// two builds therefore agree on the digest of such a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointList {
    first: Endpoint,
    others: Vec<Endpoint>,
}

/// Serialized form of an [`EndpointList`].
#[derive(Deserialize)]
#[serde(untagged)]
enum EndpointListForm {
    Url(Url),
    List(Vec<Endpoint>),
}

impl ServerSource {
    /// Creates a source with one endpoint without a region.
    pub fn remote(url: Url) -> Self {
        let endpoints = EndpointList::from(url);
        Self::Remote { endpoints }
    }

    /// Endpoints at which the server answers.
    pub fn endpoints(&self) -> &EndpointList {
        match self {
            Self::Remote { endpoints } => endpoints,
        }
    }
}

impl EndpointList {
    /// Creates a list. Returns `None` if `endpoints` is empty.
    pub fn new(endpoints: Vec<Endpoint>) -> Option<Self> {
        let mut endpoints = endpoints.into_iter();
        let first = endpoints.next()?;
        let others = endpoints.collect();
        Some(Self { first, others })
    }

    /// First endpoint, preferred where no region decides.
    pub fn first(&self) -> &Endpoint {
        &self.first
    }

    /// Endpoints in order.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Number of endpoints, at least one.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Returns the URL if it says all there is: one endpoint without a region.
    pub fn as_single_url(&self) -> Option<&Url> {
        let single = self.others.is_empty() && self.first.region.is_none();
        single.then_some(&self.first.url)
    }
}

impl From<Url> for Endpoint {
    fn from(url: Url) -> Self {
        Self { url, region: None }
    }
}

impl From<Url> for EndpointList {
    fn from(url: Url) -> Self {
        Self {
            first: url.into(),
            others: Vec::new(),
        }
    }
}

impl FromStr for EndpointList {
    type Err = url::ParseError;

    /// Parses the URL of a single endpoint.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        url.parse::<Url>().map(Self::from)
    }
}

impl Serialize for EndpointList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_single_url() {
            Some(url) => url.serialize(serializer),
            None => serializer.collect_seq(self.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for EndpointList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match EndpointListForm::deserialize(deserializer)? {
            EndpointListForm::Url(url) => Ok(url.into()),
            EndpointListForm::List(endpoints) => Self::new(endpoints)
                .ok_or_else(|| serde::de::Error::custom("a server needs an endpoint")),
        }
    }
}

#[cfg(test)]
mod tests;
