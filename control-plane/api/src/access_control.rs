//! Access control in front of every method. Checks that the method exists on this listener, authenticates the caller,
//! checks that the caller can have the required right somewhere, and limits concurrency. All checks run before any byte
//! of the body is read.
//!
//! A request of an authenticated caller protects its connection from making room for a new one until its response has
//! been sent.
//!
//! A request that writes is decided on a state that includes everything that was acknowledged before it, by any control
//! plane, so that a rejection is never based on an old state. A request that reads can ask for the same with the header
//! [`CONSISTENCY_HEADER`].

mod unknown_tokens;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header::AUTHORIZATION};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tonic::Status;
use tonic_types::StatusExt as _;
use toolgate_control_core::{
    AccessRight, CallerIdentity, is_allowed,
    port::{SecretPurpose, StateReader, StoreError, TokenIssuer},
};
use toolgate_model::TokenHash;
use toolgate_runtime::connection::{ConnectionSeat, GuardedBody, SeatGuard};
use toolgate_wire::CONSISTENCY_HEADER;

use crate::{
    caller::{AdminCaller, ConnectionPeer, UNKNOWN_TOKEN, denied, identify, not_expelled},
    rights::{self, AccessRule, ListenerKind},
    status,
};

pub(crate) use unknown_tokens::UnknownTokens;

/// Maximum length of a bearer token, in bytes.
const MAX_CREDENTIAL: usize = 1024;

/// Access control of one listener.
pub(crate) struct AccessControl {
    pub(crate) state: Arc<dyn StateReader>,
    pub(crate) tokens: Arc<dyn TokenIssuer>,
    pub(crate) listener: ListenerKind,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) unknown_tokens: UnknownTokens,
    pub(crate) deadline: Duration,
}

/// Middleware: forwards a request to its service, or rejects it.
pub(crate) async fn enforce(
    State(access_control): State<Arc<AccessControl>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectionPeer>().cloned();
    let peer = peer.unwrap_or(ConnectionPeer::Unknown);
    let (path, headers) = (request.uri().path(), request.headers());
    let caller = access_control.authorize(path, headers, peer.clone());
    if let Err(status) = &caller
        && !is_unknown_token(status)
    {
        return status.clone().into_http();
    }
    let unknown = caller.as_ref().err().cloned();
    let permit = match &unknown {
        None => access_control.permit(),
        Some(unknown) => access_control.lookup_permit(headers, unknown),
    };
    let mut permit = match permit {
        Ok(permit) => permit,
        Err(status) => return status.into_http(),
    };
    let deadline = access_control.deadline.min(requested_deadline(headers));
    let started = Instant::now();
    let caller = match timeout(
        deadline,
        access_control.authorize_latest(path, headers, peer, caller),
    )
    .await
    {
        Ok(Ok(caller)) => caller,
        Ok(Err(status)) => return status.into_http(),
        Err(_elapsed) => {
            let error = StoreError::Unavailable("no answer in time".to_owned());
            return status::not_current(&error).into_http();
        }
    };
    if unknown.is_some() {
        // The token was found: the request is one of its caller now.
        permit = match access_control.permit() {
            Ok(permit) => permit,
            Err(status) => return status.into_http(),
        };
    }
    let left = deadline.saturating_sub(started.elapsed());
    let seat = match hold_seat(&request, &caller) {
        Ok(seat) => seat,
        Err(status) => return status.into_http(),
    };
    request.extensions_mut().insert(Arc::new(caller));
    let served = timeout(left, next.run(request)).await;
    drop(permit);
    match served {
        Ok(response) => response.map(|body| Body::new(GuardedBody::new(body, seat))),
        Err(_elapsed) => {
            let message = "not done in time; whether something was written is unknown: \
                           try again with the same request_id";
            Status::deadline_exceeded(message).into_http()
        }
    }
}

/// Protects the connection of a request from eviction if its caller is authenticated.
fn hold_seat(request: &Request, caller: &AdminCaller) -> Result<Option<SeatGuard>, Status> {
    let seat = request.extensions().get::<Arc<ConnectionSeat>>();
    let seat = seat.filter(|_| caller.identity != CallerIdentity::Anonymous);
    let Some(seat) = seat else {
        return Ok(None);
    };
    let closing = || status::overloaded("the connection is being closed; connect again");
    seat.hold().map(Some).ok_or_else(closing)
}

impl AccessControl {
    /// Acquires a place for the request of a caller.
    fn permit(&self) -> Result<OwnedSemaphorePermit, Status> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.map_err(|_| status::overloaded("too many requests are being served"))
    }

    /// Acquires a place to look the token of a request up that is not known here. Returns `unknown` if the store lately
    /// did not have it.
    fn lookup_permit(
        &self,
        headers: &HeaderMap,
        unknown: &Status,
    ) -> Result<OwnedSemaphorePermit, Status> {
        let hash = self.bearer_hash(headers)?;
        if self.unknown_tokens.is_absent(&hash) {
            return Err(unknown.clone());
        }
        let place = self.unknown_tokens.place();
        place.ok_or_else(|| status::overloaded("too many unknown tokens are being looked up"))
    }

    /// Authenticates the caller of `path`. Fails if the caller can have the required right nowhere.
    pub(crate) fn authorize(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: ConnectionPeer,
    ) -> Result<AdminCaller, Status> {
        let row = rights::method_rule(path)
            .filter(|row| row.listener == self.listener || row.listener == ListenerKind::Both);
        let Some(row) = row else {
            let path: String = path.chars().take(200).collect();
            return Err(Status::unimplemented(format!(
                "there is no method `{path}` here"
            )));
        };
        if let ConnectionPeer::Proxy(id) = &peer {
            let state = Arc::clone(&self.state.published().state);
            not_expelled(&state, id, self.state.now())?;
        }
        let right = match row.access {
            AccessRule::Public => None,
            AccessRule::Requires(right) => Some(right),
        };
        let (identity, token) = match (row.access, self.listener) {
            (AccessRule::Public, _) => (CallerIdentity::Anonymous, None),
            (_, ListenerKind::Admin | ListenerKind::Both) => self.bearer(headers)?,
            (_, ListenerKind::Fleet) => (fleet_identity(&peer), None),
        };
        let caller = AdminCaller {
            identity,
            peer,
            right,
            method: row.method,
            token,
        };
        match row.access {
            AccessRule::Public => Ok(caller),
            AccessRule::Requires(right) if has_right_anywhere(&caller.identity, right) => {
                Ok(caller)
            }
            AccessRule::Requires(_) => match caller.identity {
                CallerIdentity::Anonymous => Err(status::unauthenticated(
                    "NO_CERTIFICATE",
                    "show a proxy's certificate; join the fleet to get one",
                )),
                CallerIdentity::System
                | CallerIdentity::Token { .. }
                | CallerIdentity::Proxy { .. } => Err(denied(row.method, right, &caller.identity)),
            },
        }
    }

    /// Authenticates the caller again on the latest state if the request needs it: if it writes, if it asks for the latest
    /// state, or if its token is not known here yet.
    async fn authorize_latest(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: ConnectionPeer,
        caller: Result<AdminCaller, Status>,
    ) -> Result<AdminCaller, Status> {
        let is_admin = self.listener == ListenerKind::Admin;
        let needs_latest = match &caller {
            Ok(caller) => {
                caller.right.is_some_and(AccessRight::is_write)
                    || headers
                        .get(CONSISTENCY_HEADER)
                        .is_some_and(|value| value == "latest")
            }
            Err(_unknown) => true,
        };
        if !is_admin || !needs_latest {
            return caller;
        }
        match (self.state.catch_up(Vec::new()).await, caller) {
            (Ok(()), _) => {
                let caller = self.authorize(path, headers, peer);
                if caller.as_ref().is_err_and(is_unknown_token) {
                    self.unknown_tokens.note_absent(self.bearer_hash(headers)?);
                }
                caller
            }
            (Err(error), Ok(_)) => Err(status::not_current(&error)),
            (Err(_error), Err(unknown)) => Err(unknown),
        }
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<(CallerIdentity, Option<TokenHash>), Status> {
        let hash = self.bearer_hash(headers)?;
        let state = Arc::clone(&self.state.published().state);
        let identity = identify(&state, &hash, self.state.now())?;
        Ok((identity, Some(hash)))
    }

    /// Returns the hash of the bearer token of a request.
    fn bearer_hash(&self, headers: &HeaderMap) -> Result<TokenHash, Status> {
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
        Ok(self.tokens.hash(SecretPurpose::Bearer, secret))
    }
}

/// Returns `true` if `identity` has `right` in the deployment or in its own organization.
fn has_right_anywhere(identity: &CallerIdentity, right: AccessRight) -> bool {
    let own = match identity {
        CallerIdentity::Token { org, .. } => Some(org),
        CallerIdentity::System | CallerIdentity::Proxy { .. } | CallerIdentity::Anonymous => None,
    };
    is_allowed(identity, right, None) || is_allowed(identity, right, own)
}

/// Returns `true` if the status is that of a token that this control plane does not know.
fn is_unknown_token(status: &Status) -> bool {
    let info = status.get_error_details();
    info.error_info()
        .is_some_and(|info| info.reason == UNKNOWN_TOKEN)
}

fn fleet_identity(peer: &ConnectionPeer) -> CallerIdentity {
    match peer {
        ConnectionPeer::Unknown => CallerIdentity::Anonymous,
        ConnectionPeer::Proxy(id) => CallerIdentity::Proxy { id: id.clone() },
        ConnectionPeer::Trusted => match "trusted".parse() {
            Ok(id) => CallerIdentity::Proxy { id },
            Err(_invalid) => CallerIdentity::Anonymous,
        },
    }
}

/// Parses the deadline that the caller set with `grpc-timeout`.
fn requested_deadline(headers: &HeaderMap) -> Duration {
    let requested = headers.get("grpc-timeout").and_then(|v| v.to_str().ok());
    let parsed = requested.and_then(|text| {
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
