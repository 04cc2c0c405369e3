//! Access control in front of every method. Checks that the method exists on this listener, authenticates the caller,
//! checks that the caller can have the required right somewhere, and limits concurrency. All checks run before any byte
//! of the body is read.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header::AUTHORIZATION};
use tokio::{sync::Semaphore, time::timeout};
use tonic::Status;
use toolgate_control_core::{Identity, may};
use toolgate_model::TokenHash;

use crate::{
    caller::{Caller, Peer, denied, identify, not_expelled},
    desk::{Desk, Purpose},
    rights::{self, Access, Side},
    status,
};

/// Maximum length of a bearer token, in bytes.
const MAX_CREDENTIAL: usize = 1024;

/// Access control of one listener.
pub(crate) struct Gate {
    pub(crate) desk: Arc<dyn Desk>,
    pub(crate) side: Side,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) deadline: Duration,
}

/// Middleware: forwards a request to its service, or rejects it.
pub(crate) async fn enter(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let peer = peer.unwrap_or(Peer::Unknown);
    let caller = match gate.admit(request.uri().path(), request.headers(), peer) {
        Ok(caller) => caller,
        Err(status) => return status.into_http(),
    };
    let Ok(_permit) = Arc::clone(&gate.permits).try_acquire_owned() else {
        return status::overloaded("too many requests are being served").into_http();
    };
    let deadline = gate.deadline.min(asked_deadline(request.headers()));
    request.extensions_mut().insert(Arc::new(caller));
    match timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            let message = "not done in time; whether something was written is unknown: \
                           try again with the same request_id";
            Status::deadline_exceeded(message).into_http()
        }
    }
}

impl Gate {
    /// Authenticates the caller of `path`. Fails if the caller can have the required right nowhere.
    pub(crate) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Peer,
    ) -> Result<Caller, Status> {
        let row = rights::row(path).filter(|row| row.side == self.side || row.side == Side::Both);
        let Some(row) = row else {
            let path: String = path.chars().take(200).collect();
            return Err(Status::unimplemented(format!(
                "there is no method `{path}` here"
            )));
        };
        if let Peer::Proxy(id) = &peer {
            let state = Arc::clone(&self.desk.published().borrow().state);
            not_expelled(&state, id, self.desk.now())?;
        }
        let right = match row.access {
            Access::Open => None,
            Access::Needs(right) => Some(right),
        };
        let (identity, token) = match (row.access, self.side) {
            (Access::Open, _) => (Identity::Anonymous, None),
            (_, Side::Admin | Side::Both) => self.bearer(headers)?,
            (_, Side::Fleet) => (fleet_identity(&peer), None),
        };
        let caller = Caller {
            identity,
            peer,
            right,
            method: row.method,
            token,
        };
        match row.access {
            Access::Open => Ok(caller),
            Access::Needs(right) if ever(&caller.identity, right) => Ok(caller),
            Access::Needs(_) => match caller.identity {
                Identity::Anonymous => Err(status::unauthenticated(
                    "NO_CERTIFICATE",
                    "show a proxy's certificate; join the fleet to get one",
                )),
                Identity::System | Identity::Token { .. } | Identity::Proxy { .. } => {
                    Err(denied(row.method, right, &caller.identity))
                }
            },
        }
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<(Identity, Option<TokenHash>), Status> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return Err(status::unauthenticated(
                "NO_TOKEN",
                "send one `authorization: Bearer …` with a token that has an admin role",
            ));
        };
        let secret = given
            .as_bytes()
            .split_first_chunk::<7>()
            .filter(|(scheme, secret)| {
                scheme.eq_ignore_ascii_case(b"bearer ") && secret.len() <= MAX_CREDENTIAL
            });
        let Some((_, secret)) = secret else {
            return Err(status::unauthenticated(
                "MALFORMED_TOKEN",
                "the authorization header is not `Bearer <token>`",
            ));
        };
        let hash = self.desk.hash(Purpose::Bearer, secret);
        let state = Arc::clone(&self.desk.published().borrow().state);
        let identity = identify(&state, &hash, self.desk.now())?;
        Ok((identity, Some(hash)))
    }
}

/// Returns `true` if `identity` has `right` in the deployment or in its own organization.
fn ever(identity: &Identity, right: toolgate_control_core::Right) -> bool {
    let own = match identity {
        Identity::Token { org, .. } => Some(org),
        Identity::System | Identity::Proxy { .. } | Identity::Anonymous => None,
    };
    may(identity, right, None) || may(identity, right, own)
}

fn fleet_identity(peer: &Peer) -> Identity {
    match peer {
        Peer::Unknown => Identity::Anonymous,
        Peer::Proxy(id) => Identity::Proxy { id: id.clone() },
        Peer::Trusted => match "trusted".parse() {
            Ok(id) => Identity::Proxy { id },
            Err(_invalid) => Identity::Anonymous,
        },
    }
}

/// Parses the deadline that the caller set with `grpc-timeout`.
fn asked_deadline(headers: &HeaderMap) -> Duration {
    let asked = headers.get("grpc-timeout").and_then(|v| v.to_str().ok());
    let parsed = asked.and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
        Some(match unit {
            "H" => Duration::from_secs(count.saturating_mul(3600)),
            "M" => Duration::from_secs(count.saturating_mul(60)),
            "S" => Duration::from_secs(count),
            "m" => Duration::from_millis(count),
            "u" => Duration::from_micros(count),
            "n" => Duration::from_nanos(count),
            _ => return None,
        })
    });
    parsed.unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
