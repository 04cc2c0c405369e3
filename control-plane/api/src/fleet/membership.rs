//! Fleet service: a proxy joins once, with a single-use secret, and renews its certificate with the current one.

use tonic::{Request, Response, Status};
use toolgate_control_core::{
    CallerIdentity, Command, CommandAuthor, CommandContext, ObjectKey, Rejection,
    port::{IssuedCertificate, PublishedState, SecretPurpose, SubmitError},
    push::is_connected,
};
use toolgate_model::{Digest, Slug, Timestamp};
use toolgate_proto::push::v1::{Certificate, JoinRequest, RenewRequest, fleet_server};
use toolgate_wire::field;

use super::ProxyServices;
use crate::{
    caller::{AdminCaller, ConnectionPeer, not_expelled},
    status,
};

/// Maximum size of a certificate request, in bytes.
const MAX_REQUEST: usize = 16 * 1024;
/// Maximum length of a join secret, in bytes.
const MAX_SECRET: usize = 256;

#[tonic::async_trait]
impl fleet_server::Fleet for ProxyServices {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Certificate>, Status> {
        AdminCaller::of(&request)?.require_globally()?;
        let request = request.into_inner();
        let id: Slug = request
            .proxy_id
            .parse()
            .map_err(|invalid| status::invalid("proxy_id", invalid))?;
        check_size(&request.csr_der)?;
        let now = self.state.now();
        let secret = request.secret.as_bytes();
        let hash = match secret.len() {
            1..=MAX_SECRET => self.tokens.hash(SecretPurpose::Join, secret),
            _ => return Err(invalid_join_token()),
        };
        let expiry = |published: &PublishedState| {
            let token = published.state.join_tokens.get(&Digest(hash.0));
            token.map(|token| token.expires)
        };
        let is_valid = |published: &PublishedState| expiry(published).is_some_and(|at| at > now);
        if !is_valid(&self.state.published()) {
            // Another control plane may just have created the token.
            let record = ObjectKey::JoinToken(Digest(hash.0));
            let current = self.state.catch_up(vec![record]).await;
            current.map_err(|error| status::not_current(&error))?;
        }
        let published = self.state.published();
        match expiry(&published) {
            Some(at) if at > now => {}
            Some(at) => return Err(expired_join_token(at, now)),
            None => return Err(invalid_join_token()),
        }
        not_expelled(&published.state, &id, now)?;
        if published
            .state
            .proxies
            .get(&id)
            .is_some_and(|proxy| is_connected(proxy, now))
        {
            let taken = Rejection::AlreadyExists(ObjectKey::Proxy(id));
            return Err(status::rejected(&taken, None));
        }
        // Issued before the secret is used up, and returned after: a certificate request that cannot be signed does not
        // use up the secret.
        let issued = self.authority.issue(&id, &request.csr_der);
        let issued = issued.map_err(|error| status::issue(&error))?;
        let context = CommandContext {
            now,
            author: CommandAuthor::Caller(CallerIdentity::Proxy { id }),
            request: None,
        };
        let used = self
            .writer
            .submit(Command::UseJoinToken(hash), context)
            .await;
        match used {
            Ok(_outcome) => Ok(Response::new(certificate(issued, now))),
            Err(SubmitError::Rejected(Rejection::NotFound(_))) => Err(invalid_join_token()),
            Err(error) => Err(status::submit(&error, None)),
        }
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Certificate>, Status> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let ConnectionPeer::Proxy(id) = &caller.peer else {
            let message = "only a proxy that has a certificate can renew it; join the fleet first";
            return Err(status::precondition(
                "NO_CERTIFICATE",
                "proxy",
                message.to_owned(),
            ));
        };
        let request = request.into_inner();
        check_size(&request.csr_der)?;
        let now = self.state.now();
        let published = self.state.published();
        // A proxy that renews without a record in the store could not be expelled.
        if !published.state.proxies.contains(id) {
            let message = format!("nothing is known of proxy {id}; let it subscribe first");
            return Err(status::precondition("UNKNOWN_PROXY", "proxy", message));
        }
        let issued = self.authority.issue(id, &request.csr_der);
        let issued = issued.map_err(|error| status::issue(&error))?;
        Ok(Response::new(certificate(issued, now)))
    }
}

/// Error for a join secret that is not known, any more or at all. The proxy does not send it again.
fn invalid_join_token() -> Status {
    status::unauthenticated(
        "JOIN_TOKEN",
        "the join token is unknown, used or long expired; create a new one with `toolgate proxies join-token`",
    )
}

/// Error for a join secret that has expired. Only its holder gets this answer.
fn expired_join_token(expired: Timestamp, now: Timestamp) -> Status {
    let (expired, now) = (field::to_timestamp(expired), field::to_timestamp(now));
    let message = format!(
        "the join token expired at {expired}, and the clock of this control plane shows {now}; create a new one with \
         `toolgate proxies join-token`, and if that time is wrong, switch on time synchronisation there first"
    );
    status::unauthenticated("JOIN_TOKEN", &message)
}

fn check_size(csr_der: &[u8]) -> Result<(), Status> {
    if csr_der.is_empty() || csr_der.len() > MAX_REQUEST {
        let reason = format!("send a PKCS#10 request in DER of at most {MAX_REQUEST} bytes");
        return Err(status::invalid("csr_der", reason));
    }
    Ok(())
}

fn certificate(issued: IssuedCertificate, now: Timestamp) -> Certificate {
    Certificate {
        chain_der: issued.chain,
        ca_der: issued.authority,
        not_after_ms: issued.not_after.0,
        issue_time_ms: now.0,
    }
}
