//! Interfaces of discovery to the rest of the control plane.

use toolgate_client::PresentedCredential;
use toolgate_control_core::port::BoxFuture;
use toolgate_model::{ObjectName, ProbeProblem, ServerDefinitions, snapshot::CredentialRef};
use url::Url;

/// Storage of server definitions.
pub trait DefinitionsSink: Send + Sync + 'static {
    /// Returns the stored definitions of `server`. Called once, before the first probe of the server.
    fn earlier(&self, server: &ObjectName) -> BoxFuture<'_, Option<ServerDefinitions>>;

    /// Stores `catalogue` in place of earlier definitions. A server that no longer exists is not an error.
    fn store(&self, catalogue: ServerDefinitions) -> BoxFuture<'_, Result<StoreReport, SinkError>>;
}

/// Report about storing definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// Effect.
    pub effect: StoreEffect,
    /// Problem of definitions that are not stored, or that change too often.
    pub problem: Option<ProbeProblem>,
}

/// Effect of storing definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreEffect {
    /// Stored.
    Stored,
    /// Stored, with the problem that the definitions change too often.
    StoredAsUnstable,
    /// Not stored, because the definitions change too often, or because there is no room for them. A later probe stores them.
    Deferred,
}

/// Error of storing definitions. They are stored again with the next probe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue could not be stored: {0}")]
pub struct SinkError(pub String);

/// Source of the credential header for a server.
pub trait HeaderSource: Send + Sync + 'static {
    /// Returns the header for `server`, to be sent to `url` only. The caller marks the value as sensitive and does not
    /// keep it.
    fn header(
        &self,
        server: &ObjectName,
        credential: &CredentialRef,
        url: &Url,
    ) -> BoxFuture<'_, Result<PresentedCredential, HeaderError>>;
}

/// Error of a credential header. Contains nothing of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeaderError(pub String);
