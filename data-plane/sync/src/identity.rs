//! Identity of this proxy towards the control plane.
//!
//! The proxy joins once with a single-use token, stores its certificate encrypted, and renews it after two thirds of its
//! lifetime, each time with a new key. The key to join with is written to disk before the token is used, so that a
//! failing disk does not waste the token. A token that a control plane refuses is not sent again.
//!
//! The clock of this machine does not decide if a certificate has ended: it may be off. The control plane decides by its own
//! clock. A certificate that seems to have ended is renewed at once, and a join token is used only if that fails.

use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tonic::{Code, Status, transport::Channel};
use toolgate_model::{Slug, Timestamp};
use toolgate_proto::push::v1::{self as pb, fleet_client::FleetClient};
use toolgate_runtime::{
    Backoff,
    clock::rfc3339,
    random,
    tls::{FleetMembership, ReloadableIdentity, TlsError, TlsIdentity},
};
use zeroize::Zeroizing;

use crate::{
    connection_problem,
    control_channels::{ConnectorSetter, ControlChannels, RoundRobinConnector},
    disk::{DiskError, EncryptedDirectory},
    handle::SyncState,
    options::{JoinBundle, ProxyContext},
    repeated_problem::RepeatedProblems,
    secret::{self, SecretBytes},
};

/// File name of the certificate.
const FILE: &str = "identity";

/// File name of the key to join with, until the certificate is issued.
const JOIN_KEY_FILE: &str = "joining-key";

/// Certificate with its key, as stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProxyCertificate {
    pub(crate) proxy_id: Slug,
    chain: Vec<Vec<u8>>,
    key: SecretBytes,
    ca: Vec<u8>,
    /// Time of this machine's clock when it was obtained.
    obtained: Timestamp,
    /// Time of the control plane's clock when it was issued; `None` if the control plane did not tell.
    #[serde(default)]
    issued: Option<Timestamp>,
    /// End of its validity, by the control plane's clock.
    not_after: Timestamp,
}

/// Lifetime that is assumed of a certificate whose lifetime is not known.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(3600);

/// Subject of the warnings of the process about its certificate.
const IDENTITY: &str = "certificate";

/// Attempts to join with one token.
#[derive(Default)]
struct JoinAttempts {
    key: Option<KeyPair>,
    /// Connector that each attempt moves on to the next control plane.
    connector: Option<RoundRobinConnector>,
    /// Number of attempts in which a control plane refused the token.
    refusals: usize,
}

/// Error of obtaining or storing a certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("{}", .0.message())]
    Status(#[from] Box<Status>),
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] TlsError),
    #[error("the key or its certificate cannot be kept: {0}")]
    Disk(#[from] DiskError),
    #[error("a key cannot be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the certificate cannot be kept: {0}")]
    Format(#[from] serde_json::Error),
    #[error("writing was cut off")]
    WriteCancelled(#[from] tokio::task::JoinError),
}

/// Task that keeps the proxy's certificate current.
pub(crate) struct IdentityTask {
    pub(crate) proxy_id: Slug,
    pub(crate) addresses: Vec<String>,
    pub(crate) join: Option<JoinBundle>,
    pub(crate) certificate: Option<ProxyCertificate>,
    pub(crate) channels: ControlChannels,
    pub(crate) setter: ConnectorSetter,
    pub(crate) state: Arc<SyncState>,
    pub(crate) disk: Option<Arc<EncryptedDirectory>>,
    pub(crate) context: ProxyContext,
    pub(crate) reconnect: (Duration, Duration),
    pub(crate) problems: RepeatedProblems,
}

/// Returns the stored certificate, which may have expired.
pub(crate) fn load(disk: &EncryptedDirectory) -> Option<ProxyCertificate> {
    let bytes = disk.load(FILE)?;
    let Ok(kept) = serde_json::from_slice::<ProxyCertificate>(&bytes) else {
        disk.quarantine(FILE);
        return None;
    };
    Some(kept)
}

impl IdentityTask {
    /// Runs until the drain has settled.
    pub(crate) async fn run(mut self) {
        let drain = self.context.drain.clone();
        tokio::select! {
            () = drain.settled() => {}
            () = self.join_and_renew() => {}
        }
    }

    async fn join_and_renew(&mut self) {
        let (mut held, kept) = match self.certificate.take() {
            Some(held) if held.is_current(self.context.now()) => (held, true),
            found => {
                let certified = match found {
                    Some(held) => self.renew_or_join(held).await,
                    None => self.join().await,
                };
                // The token is used up: the certificate is used even if it cannot be stored.
                let kept = self.save(&certified).await;
                (certified, kept.is_ok())
            }
        };
        self.state.set_certificate_end(held.not_after);
        let identity = match held.identity().and_then(ReloadableIdentity::new) {
            Ok(identity) => identity,
            Err(error) => return tracing::error!(%error, "the proxy's certificate cannot be used"),
        };
        let ca = [CertificateDer::from(held.ca.clone())];
        match RoundRobinConnector::over_tls(&self.addresses, &ca, Some(&identity)) {
            Ok(connector) => {
                self.setter.set(connector);
                let [authority] = ca;
                self.state.set_membership(FleetMembership {
                    identity: identity.clone(),
                    authority,
                });
            }
            Err(error) => {
                return tracing::error!(%error, "no connection to a control plane can be made");
            }
        }
        if !kept {
            self.persist(&held).await;
        }
        loop {
            sleep(held.renew_in(self.context.now())).await;
            held = self.renew(&identity, held).await;
            self.state.set_certificate_end(held.not_after);
            self.persist(&held).await;
        }
    }

    /// Renews a certificate that seems to have ended, or uses the join token if that fails; retries until one of them
    /// succeeds. The clock of this machine may be off, so that the certificate is shown to the control plane first.
    async fn renew_or_join(&self, held: ProxyCertificate) -> ProxyCertificate {
        let (end, now) = (rfc3339(held.not_after), rfc3339(self.context.now()));
        tracing::warn!(
            end,
            now,
            "the certificate seems to have ended; the control plane is asked"
        );
        self.state.set_certificate_end(held.not_after);
        let mut backoff = Backoff::new(self.reconnect.0, Duration::from_secs(60));
        let mut attempts = JoinAttempts::default();
        loop {
            let error = match self.try_renew_ended(&held).await {
                Ok(renewed) => {
                    tracing::info!(proxy = %self.proxy_id, "the certificate was renewed");
                    return renewed;
                }
                Err(error) => error,
            };
            let mut problem = format!(
                "the certificate cannot be renewed: {}",
                self.describe(&error)
            );
            if let Some(bundle) = self
                .join
                .as_ref()
                .filter(|_| !attempts.are_over(&self.addresses))
            {
                match self.try_join(bundle, &mut attempts).await {
                    Ok(certified) => {
                        tracing::info!(proxy = %self.proxy_id, "joined the fleet again");
                        return certified;
                    }
                    Err(error) => problem += &format!("; {}", self.join_problem(&error, &attempts)),
                }
            }
            self.report_problem(problem);
            sleep(backoff.next(random::number())).await;
        }
    }

    /// Renews a certificate over a connection of its own.
    async fn try_renew_ended(
        &self,
        held: &ProxyCertificate,
    ) -> Result<ProxyCertificate, IdentityError> {
        let identity = ReloadableIdentity::new(held.identity()?)?;
        let ca = [CertificateDer::from(held.ca.clone())];
        let connector = RoundRobinConnector::over_tls(&self.addresses, &ca, Some(&identity))?;
        self.try_renew(connector.channel(), &identity, held).await
    }

    /// Joins the fleet. Retries until it succeeds, because a control plane may come back, or until all control planes have
    /// refused the token, which does not change: then it waits for the end of the process.
    async fn join(&self) -> ProxyCertificate {
        let Some(bundle) = &self.join else {
            // `start` has rejected this case.
            return std::future::pending().await;
        };
        let mut backoff = Backoff::new(self.reconnect.0, self.reconnect.1);
        let mut attempts = JoinAttempts::default();
        loop {
            match self.try_join(bundle, &mut attempts).await {
                Ok(certified) => {
                    tracing::info!(proxy = %self.proxy_id, "joined the fleet");
                    self.context
                        .readiness
                        .set_warnings(IDENTITY, Vec::<String>::new());
                    return certified;
                }
                Err(error) => self.report_problem(self.join_problem(&error, &attempts)),
            }
            if attempts.are_over(&self.addresses) {
                return std::future::pending().await;
            }
            sleep(backoff.next(random::number())).await;
        }
    }

    /// Describes an error of joining, with the next step if the token is not tried again.
    fn join_problem(&self, error: &IdentityError, attempts: &JoinAttempts) -> String {
        let problem = format!("cannot join: {}", self.describe(error));
        match attempts.are_over(&self.addresses) {
            true => format!(
                "{problem}. The token is not tried again: make another with `toolgate proxies join-token`, and start this proxy \
                 with it"
            ),
            false => problem,
        }
    }

    fn describe(&self, error: &IdentityError) -> String {
        match error {
            IdentityError::Status(status) => {
                let end = self.state.certificate_end();
                connection_problem::describe(status, end, self.context.now()).text
            }
            IdentityError::Tls(_)
            | IdentityError::Disk(_)
            | IdentityError::Key(_)
            | IdentityError::Format(_)
            | IdentityError::WriteCancelled(_) => error.to_string(),
        }
    }

    /// Tells a problem of the identity in the status of the process, and logs it if it is new, and then from time to time.
    fn report_problem(&self, problem: String) {
        let now = self.context.clock.monotonic();
        if self.problems.is_due(&problem, now) {
            tracing::error!(problem, "without a valid certificate");
        } else {
            tracing::debug!(problem, "still without a valid certificate");
        }
        let warnings = vec![problem.clone()];
        self.context.readiness.set_warnings(IDENTITY, warnings);
        self.state
            .set_status(false, self.state.view.load().version(), problem);
    }

    /// Tries to join once, at the next control plane. All attempts use the same key.
    async fn try_join(
        &self,
        bundle: &JoinBundle,
        attempts: &mut JoinAttempts,
    ) -> Result<ProxyCertificate, IdentityError> {
        let key = match attempts.key.take() {
            Some(key) => key,
            None => self.load_or_create_key().await?,
        };
        let key = attempts.key.insert(key);
        let csr_der = certificate_request(key)?;
        let connector = match &attempts.connector {
            Some(connector) => connector.clone(),
            None => {
                let connector = RoundRobinConnector::over_tls(&self.addresses, &bundle.ca, None)?;
                attempts.connector.insert(connector).clone()
            }
        };
        let request = pb::JoinRequest {
            secret: bundle.secret.to_string(),
            proxy_id: self.proxy_id.to_string(),
            csr_der,
        };
        let answer = FleetClient::new(connector.channel()).join(request).await;
        attempts.refusals = match &answer {
            Err(status) if status.code() == Code::Unauthenticated => attempts.refusals + 1,
            Ok(_) | Err(_) => attempts.refusals,
        };
        let mut certificate = answer.map_err(Box::new)?.into_inner();
        if certificate.ca_der.is_empty() {
            certificate.ca_der = bundle.ca.first().map(|ca| ca.to_vec()).unwrap_or_default();
        }
        self.accept_certificate(certificate, key)
    }

    /// Returns the key of an earlier attempt, or a new key that has been written to disk.
    async fn load_or_create_key(&self) -> Result<KeyPair, IdentityError> {
        let disk = self.disk.clone();
        let made = spawn_blocking(move || {
            let kept = disk.as_ref().and_then(|disk| disk.load(JOIN_KEY_FILE));
            if let Some(Ok(key)) = kept.map(|kept| KeyPair::try_from(kept.as_slice())) {
                return Ok(key);
            }
            let key = KeyPair::generate()?;
            if let Some(disk) = &disk {
                disk.save(JOIN_KEY_FILE, &Zeroizing::new(key.serialize_der()))?;
            }
            Ok(key)
        });
        made.await?
    }

    /// Renews the certificate; retries until it succeeds. The current certificate stays in use meanwhile.
    async fn renew(
        &self,
        identity: &ReloadableIdentity,
        held: ProxyCertificate,
    ) -> ProxyCertificate {
        let mut backoff = Backoff::new(self.reconnect.0, Duration::from_secs(60));
        loop {
            let channel = self.channels.shared_channel().await;
            match self.try_renew(channel, identity, &held).await {
                Ok(renewed) => {
                    tracing::info!(proxy = %self.proxy_id, "the certificate was renewed");
                    return renewed;
                }
                Err(error) => {
                    let problem = self.describe(&error);
                    let end = rfc3339(held.not_after);
                    tracing::warn!(problem, end, "the certificate cannot be renewed yet");
                }
            }
            sleep(backoff.next(random::number())).await;
        }
    }

    async fn try_renew(
        &self,
        channel: Channel,
        identity: &ReloadableIdentity,
        held: &ProxyCertificate,
    ) -> Result<ProxyCertificate, IdentityError> {
        let key = KeyPair::generate()?;
        let csr_der = certificate_request(&key)?;
        let mut client = FleetClient::new(channel);
        let answer = client
            .renew(pb::RenewRequest { csr_der })
            .await
            .map_err(Box::new)?;
        let mut certificate = answer.into_inner();
        if certificate.ca_der.is_empty() {
            certificate.ca_der = held.ca.clone();
        }
        let renewed = self.accept_certificate(certificate, &key)?;
        identity.set(renewed.identity()?)?;
        Ok(renewed)
    }

    fn accept_certificate(
        &self,
        given: pb::Certificate,
        key: &KeyPair,
    ) -> Result<ProxyCertificate, IdentityError> {
        let certified = ProxyCertificate {
            proxy_id: self.proxy_id.clone(),
            chain: given.chain_der,
            key: SecretBytes(key.serialize_der()),
            ca: given.ca_der,
            obtained: self.context.now(),
            issued: (given.issue_time_ms > 0).then_some(Timestamp(given.issue_time_ms)),
            not_after: Timestamp(given.not_after_ms),
        };
        // Verifies that the certificate belongs to the key.
        ReloadableIdentity::new(certified.identity()?)?;
        Ok(certified)
    }

    async fn save(&self, certified: &ProxyCertificate) -> Result<(), IdentityError> {
        let Some(disk) = self.disk.clone() else {
            return Ok(());
        };
        let bytes = secret::to_json(certified)?;
        let saving = spawn_blocking(move || {
            disk.save(FILE, &bytes)?;
            disk.remove(JOIN_KEY_FILE);
            Ok(())
        });
        saving.await?
    }

    /// Stores the certificate; retries until it succeeds or the next renewal is due. The certificate is in use
    /// meanwhile.
    async fn persist(&self, certified: &ProxyCertificate) {
        let mut backoff = Backoff::new(self.reconnect.0, Duration::from_secs(60));
        let saving = async {
            while let Err(error) = self.save(certified).await {
                tracing::error!(%error, "if this proxy restarted now, it would have to join again");
                sleep(backoff.next(random::number())).await;
            }
        };
        let _elapsed = timeout(certified.renew_in(self.context.now()), saving).await;
    }
}

impl ProxyCertificate {
    fn identity(&self) -> Result<TlsIdentity, TlsError> {
        let chain = self
            .chain
            .iter()
            .cloned()
            .map(CertificateDer::from)
            .collect();
        let key = PrivatePkcs8KeyDer::from(self.key.0.clone()).into();
        Ok(TlsIdentity { chain, key })
    }

    /// Returns the time until two thirds of the lifetime have passed. The lifetime is a difference of times of the control
    /// plane's clock, and what has passed of it a difference of times of this machine's, so that it does not matter by how
    /// much the two differ. A clock that was set meanwhile tells nothing: the certificate is renewed at once.
    fn renew_in(&self, now: Timestamp) -> Duration {
        let passed = self.passed(now);
        passed.map_or(Duration::ZERO, |passed| {
            (self.lifetime() * 2 / 3).saturating_sub(passed)
        })
    }

    /// Returns `true` if the certificate has not ended, as far as this machine's clock can tell.
    fn is_current(&self, now: Timestamp) -> bool {
        self.passed(now).is_some()
    }

    /// Returns the passed part of the lifetime; `None` if the lifetime is over, or the clock was set to an earlier time.
    fn passed(&self, now: Timestamp) -> Option<Duration> {
        let passed = now
            .0
            .checked_sub(self.obtained.0)
            .map(Duration::from_millis);
        passed.filter(|passed| *passed < self.lifetime())
    }

    fn lifetime(&self) -> Duration {
        let issued = self.issued.unwrap_or(self.obtained);
        match self.not_after.since(issued) {
            // Issued by a control plane that does not tell when, whose clock is behind.
            Duration::ZERO => UNKNOWN_LIFETIME,
            lifetime => lifetime,
        }
    }
}

impl JoinAttempts {
    /// Returns `true` if every control plane has refused the token.
    fn are_over(&self, addresses: &[String]) -> bool {
        self.refusals >= addresses.len()
    }
}

/// Returns a certificate signing request for the key. The control plane uses only its public key.
fn certificate_request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let request = CertificateParams::default().serialize_request(key)?;
    Ok(request.der().to_vec())
}

#[cfg(test)]
mod tests;
