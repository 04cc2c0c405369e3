//! What probing needs from the rest of the control plane.

use http::{HeaderName, HeaderValue};
use toolgate_control_core::port::BoxFuture;
use toolgate_model::{Catalogue, Name, snapshot::CredentialRef};

/// Where catalogues are kept.
pub trait CatalogueSink: Send + Sync + 'static {
    /// What is kept of `server`: asked once, when it is probed for the first time.
    fn earlier(&self, server: &Name) -> BoxFuture<'_, Option<Catalogue>>;

    /// Keeps `catalogue` in place of an earlier one. A server that is gone by then is no error.
    fn store(&self, catalogue: Catalogue) -> BoxFuture<'_, Result<(), SinkError>>;
}

/// Why a catalogue was not kept. It will be offered again with the next probe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue could not be stored: {0}")]
pub struct SinkError(pub String);

/// Where the header comes from that is presented to a server.
pub trait HeaderSource: Send + Sync + 'static {
    /// The header for `server`. The value is marked sensitive by who uses it, and is not kept.
    fn header(
        &self,
        server: &Name,
        credential: &CredentialRef,
    ) -> BoxFuture<'_, Result<(HeaderName, HeaderValue), HeaderError>>;
}

/// Why there is no header. Says nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeaderError(pub String);
