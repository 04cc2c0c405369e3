//! Identity of this proxy towards the control plane.
//!
//! The proxy joins once with a single-use token, stores its certificate sealed, and renews it after two thirds of its
//! lifetime, each time with a new key. The key to join with is written to disk before the token is used, so that a
//! failing disk does not waste the token.

use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tonic::Status;
use toolgate_model::{Slug, Timestamp};
use toolgate_proto::push::v1::{self as pb, fleet_client::FleetClient};
use toolgate_runtime::{
    Backoff, random,
    tls::{FleetMembership, ReloadableIdentity, TlsError, TlsIdentity},
};
use zeroize::Zeroizing;

use crate::{
    control_channels::{ConnectorSetter, ControlChannels, RoundRobinConnector},
    disk::{DiskError, SealedDirectory},
    handle::SyncState,
    options::{JoinBundle, ProxyContext},
    secret::SecretBytes,
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
    obtained: Timestamp,
    not_after: Timestamp,
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
    pub(crate) disk: Option<Arc<SealedDirectory>>,
    pub(crate) context: ProxyContext,
    pub(crate) reconnect: (Duration, Duration),
}

/// Returns the stored certificate if it has not expired.
pub(crate) fn load(disk: &SealedDirectory, now: Timestamp) -> Option<ProxyCertificate> {
    let bytes = disk.load(FILE)?;
    let Ok(kept) = serde_json::from_slice::<ProxyCertificate>(&bytes) else {
        disk.quarantine(FILE);
        return None;
    };
    (now < kept.not_after).then_some(kept)
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
            Some(held) => (held, true),
            None => {
                let certified = self.join().await;
                // The token is used up: the certificate is used even if it cannot be stored.
                let kept = self.save(&certified).await;
                (certified, kept.is_ok())
            }
        };
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
            self.persist(&held).await;
        }
    }

    /// Joins the fleet; retries until it succeeds, because the control plane may come back.
    async fn join(&self) -> ProxyCertificate {
        let Some(bundle) = &self.join else {
            // `start` has rejected this case.
            return std::future::pending().await;
        };
        let mut backoff = Backoff::new(self.reconnect.0, self.reconnect.1);
        let mut key = None;
        loop {
            match self.try_join(bundle, &mut key).await {
                Ok(certified) => {
                    tracing::info!(proxy = %self.proxy_id, "joined the fleet");
                    return certified;
                }
                Err(error) => {
                    let mut problem = format!("cannot join: {error}");
                    if key.is_some() {
                        problem += ". A join token works once and not for long; make another with `toolgate proxies join-token`";
                    }
                    tracing::warn!(%error, "cannot join");
                    self.state.set_status(false, Default::default(), problem);
                    sleep(backoff.next(random::number())).await;
                }
            }
        }
    }

    /// Tries to join once. All attempts use the same key.
    async fn try_join(
        &self,
        bundle: &JoinBundle,
        key: &mut Option<KeyPair>,
    ) -> Result<ProxyCertificate, IdentityError> {
        let key = match key {
            Some(key) => key,
            None => key.insert(self.load_or_create_key().await?),
        };
        let csr_der = certificate_request(key)?;
        let channel = RoundRobinConnector::over_tls(&self.addresses, &bundle.ca, None)?.channel();
        let request = pb::JoinRequest {
            secret: bundle.secret.to_string(),
            proxy_id: self.proxy_id.to_string(),
            csr_der,
        };
        let answer = FleetClient::new(channel)
            .join(request)
            .await
            .map_err(Box::new)?;
        let mut certificate = answer.into_inner();
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
            match self.try_renew(identity, &held).await {
                Ok(renewed) => {
                    tracing::info!(proxy = %self.proxy_id, "the certificate was renewed");
                    return renewed;
                }
                Err(error) if self.context.now() < held.not_after => {
                    tracing::warn!(%error, "the certificate cannot be renewed yet");
                }
                Err(error) => tracing::error!(
                    %error,
                    "the certificate has ended: join again with a new join token"
                ),
            }
            sleep(backoff.next(random::number())).await;
        }
    }

    async fn try_renew(
        &self,
        identity: &ReloadableIdentity,
        held: &ProxyCertificate,
    ) -> Result<ProxyCertificate, IdentityError> {
        let key = KeyPair::generate()?;
        let csr_der = certificate_request(&key)?;
        let mut client = FleetClient::new(self.channels.shared_channel().await);
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
        let bytes = Zeroizing::new(serde_json::to_vec(certified)?);
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

    /// Returns the time until two thirds of the lifetime have passed.
    fn renew_in(&self, now: Timestamp) -> Duration {
        let life = self.not_after.since(self.obtained);
        let at = self.obtained.after(life * 2 / 3);
        at.since(now)
    }
}

/// Returns a certificate signing request for the key. The control plane uses only its public key.
fn certificate_request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let request = CertificateParams::default().serialize_request(key)?;
    Ok(request.der().to_vec())
}

#[cfg(test)]
mod tests;
