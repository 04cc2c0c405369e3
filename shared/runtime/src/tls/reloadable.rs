//! A TLS identity that can be replaced at run time.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::{MissedTickBehavior, interval};
use toolgate_model::Timestamp;

use super::{TlsError, TlsIdentity, expiry};
use crate::drain::Drain;

/// Current TLS identity. Clones share it; connections made after [`set`](Self::set) present the new one.
#[derive(Clone)]
pub struct ReloadableIdentity {
    resolver: Arc<CertificateResolver>,
}

struct CertificateResolver {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ReloadableIdentity {
    /// Presents `identity` until it is replaced.
    pub fn new(identity: TlsIdentity) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(identity.certified()?));
        Ok(Self {
            resolver: Arc::new(CertificateResolver { current }),
        })
    }

    /// Presents `identity` from now on. On error the previous one stays in use.
    pub fn set(&self, identity: TlsIdentity) -> Result<(), TlsError> {
        let next = Arc::new(identity.certified()?);
        *self
            .resolver
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Presents the content of these PEM files, and reloads them on change, checked at the interval `every`. A pair
    /// that cannot be read or does not match leaves the previous one in use.
    pub fn watch(
        chain: PathBuf,
        key: PathBuf,
        every: Duration,
        drain: &Drain,
    ) -> Result<Self, TlsError> {
        let mut seen = modified_times([&chain, &key]);
        let identity = Self::new(TlsIdentity::from_files(&chain, &key)?)?;
        let (current, stop) = (identity.clone(), drain.draining());
        drain.spawn("certificate files", async move {
            tokio::pin!(stop);
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = &mut stop => return,
                    _ = ticks.tick() => {}
                }
                let now = modified_times([&chain, &key]);
                if now == seen {
                    continue;
                }
                let files =
                    TlsIdentity::from_files(&chain, &key).and_then(|next| current.set(next));
                match files {
                    Ok(()) => {
                        seen = now;
                        tracing::info!(chain = %chain.display(), "the certificate was replaced");
                    }
                    // Most likely read during a write; the next tick tries again.
                    Err(error) => tracing::warn!(%error, "the former certificate stays in use"),
                }
            }
        });
        Ok(identity)
    }

    /// Returns the end of the validity of the current certificate, or `None` if it cannot be read.
    pub fn not_after(&self) -> Option<Timestamp> {
        expiry::not_after(self.resolver.current().cert.first()?)
    }

    pub(super) fn resolver(&self) -> Arc<impl ResolvesServerCert + ResolvesClientCert + use<>> {
        Arc::clone(&self.resolver)
    }
}

fn modified_times(paths: [&PathBuf; 2]) -> [Option<SystemTime>; 2] {
    paths.map(|path| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    })
}

impl CertificateResolver {
    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for CertificateResolver {
    fn resolve(
        &self,
        _issuers: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for ReloadableIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HotIdentity({} certificates)",
            self.resolver.current().cert.len()
        )
    }
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateResolver")
            .finish_non_exhaustive()
    }
}
