//! Token that a command creates for itself. It is deleted when the command ends, also by a signal; a token that is left over,
//! because the process was killed or the control plane did not answer, expires soon.

use std::time::Duration;

use serde_json::Value;

use super::short_id;
use crate::cli::{
    client::{
        admin::AdminClient, kind::TOKEN, stop_signal::StopSignals,
        token_scope::TEMPORARY_TOKEN_PREFIX,
    },
    commands::token::{self, TokenExpiry, TokenRequest},
    output::error::{CliError, CliErrorKind},
};

/// Lifetime of a token created for one command. Only the beginning of a request has to fall into it: a call that runs longer
/// is answered. It also covers clocks that are somewhat apart.
const LIFETIME: Duration = Duration::from_secs(120);
/// Maximum time for the deletion of the token.
const DELETION_TIMEOUT: Duration = Duration::from_secs(5);

/// Token that exists for one command.
pub(super) struct TemporaryToken {
    admin: AdminClient,
    id: String,
    /// True from the moment at which the token may exist.
    is_requested: bool,
}

impl TemporaryToken {
    /// Chooses the id of a token. It is not created yet.
    pub(super) fn new(admin: AdminClient) -> Self {
        Self {
            admin,
            id: format!("{TEMPORARY_TOKEN_PREFIX}{}", short_id()),
            is_requested: false,
        }
    }

    /// Creates the token for a gateway, and returns its secret.
    pub(super) async fn create(&mut self, gateway: &str) -> Result<String, CliError> {
        let token_request = TokenRequest {
            gateways: vec![gateway.to_owned()],
            expiry: Some(TokenExpiry::After(LIFETIME)),
            description: "Made by the command line for one command".to_owned(),
            ..TokenRequest::default()
        };
        self.is_requested = true;
        let created = token::create_token(&mut self.admin, &self.id, &token_request, false).await;
        let created: Value = created.map_err(|fault| {
            let step = "give a token for the gateway with --token or TOOLGATE_GATEWAY_TOKEN";
            if fault.kind == CliErrorKind::Denied {
                fault.with_next_step(step)
            } else {
                fault
            }
        })?;
        Ok(created["secret"].as_str().unwrap_or_default().to_owned())
    }

    /// Deletes the token, if it may exist. If that fails, or a signal comes meanwhile, the token expires soon.
    pub(super) async fn delete(mut self, signals: &mut StopSignals) {
        if !self.is_requested {
            return;
        }
        let name = TOKEN.resource_name(self.admin.organization(), &self.id);
        tokio::select! {
            _done = self.admin.delete(&TOKEN, &name, false) => {}
            () = tokio::time::sleep(DELETION_TIMEOUT) => {}
            _again = signals.next() => {}
        }
    }
}
