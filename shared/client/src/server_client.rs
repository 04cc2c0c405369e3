//! A connected client of a server of either era, with the facts that the server reports about itself.

use toolgate_mcp::definition::DefinitionKind;
use toolgate_model::Era;

use crate::{
    changes::ServerChangeFeed,
    error::ClientError,
    legacy::LegacySession,
    listing::{self, ListingLimits, ServerListing},
    modern::ModernClient,
    rpc_client::RpcResponse,
    server_facts::ServerFacts,
};

/// Connected client of one server.
#[derive(Debug)]
pub enum ServerClient {
    /// Session with a legacy server.
    Legacy(LegacySession),
    /// Client of a modern server.
    Modern(ModernClient),
}

impl ServerClient {
    /// Returns the era of the server.
    pub fn era(&self) -> Era {
        match self {
            Self::Legacy(_) => Era::Legacy,
            Self::Modern(_) => Era::Modern,
        }
    }

    /// Returns the facts that the server reports about itself.
    pub fn facts(&self) -> &ServerFacts {
        match self {
            Self::Legacy(session) => session.facts(),
            Self::Modern(peer) => peer.facts(),
        }
    }

    /// Lists all definitions of one kind within `caps`. Empty if the server declares other kinds and not this one. A
    /// server that declares nothing is asked all the same: some list what they do not declare.
    pub async fn list(
        &self,
        kind: DefinitionKind,
        caps: &ListingLimits,
    ) -> Result<ServerListing, ClientError> {
        let declared = self.facts().offers(kind);
        if !declared && self.facts().offers_any() {
            return Ok(ServerListing::default());
        }
        // Answers of a server that has no such list, in all their forms.
        let refused = |error: &ClientError| {
            let status = error.status();
            error.rpc().is_some()
                || status.is_some_and(|status| status.is_client_error())
                || matches!(error, ClientError::Protocol(_) | ClientError::Frame(_))
        };
        match listing::collect(self, kind, caps).await {
            Ok(listing) => Ok(ServerListing {
                undeclared: !declared,
                ..listing
            }),
            Err(error) if !declared && refused(&error) => Ok(ServerListing::default()),
            // Templates have no capability of their own: a server with resources may not support them.
            Err(error) if kind == DefinitionKind::Template && error.is_unknown_method() => {
                Ok(ServerListing::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a change feed; `None` if the server offers none.
    pub async fn changes(&self) -> Result<Option<ServerChangeFeed>, ClientError> {
        match self {
            Self::Legacy(session) => session.changes().await,
            Self::Modern(peer) => peer.changes().await,
        }
    }

    /// Closes the session, if there is one. Errors are ignored.
    pub async fn close(self) {
        if let Self::Legacy(session) = self {
            session.close().await;
        }
    }

    pub(crate) async fn page(
        &self,
        method: &str,
        cursor: Option<&str>,
    ) -> Result<RpcResponse, ClientError> {
        match self {
            Self::Legacy(session) => session.page(method, cursor).await,
            Self::Modern(peer) => peer.page(method, cursor).await,
        }
    }
}
