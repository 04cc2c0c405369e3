//! Listeners and their TLS configuration.

use std::{io::ErrorKind, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};
use toolgate_runtime::{
    Readiness, SharedClock,
    tls::{self, ExpiryStage, ReloadableIdentity},
};

use super::ProcessContext;

/// Interval between checks of the certificate files.
const CERTIFICATE_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Certificate of a listener in files of the operator.
#[derive(Debug, Clone, Copy)]
pub struct CertificateFiles<'a> {
    /// Certificate and listener, as warnings name them.
    pub subject: &'static str,
    /// Certificate chain, PEM.
    pub chain: Option<&'a PathBuf>,
    /// Private key, PEM.
    pub key: Option<&'a PathBuf>,
}

/// Binds a listener. The error names the address and the probable cause.
pub async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen at {address} ({what}); is another toolgate running there? choose another address")
    })
}

/// Checks all addresses before the role starts, so that one error names all addresses in use.
pub fn ensure_free(listeners: &[(SocketAddr, &'static str)]) -> anyhow::Result<()> {
    let taken = listeners.iter().filter(|(address, _)| {
        let bound = std::net::TcpListener::bind(address);
        bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    });
    let taken: Vec<_> = taken
        .map(|(address, flag)| format!("{address} ({flag})"))
        .collect();
    anyhow::ensure!(
        taken.is_empty(),
        "cannot listen at {}: taken; is another toolgate running there? choose others with these flags, and another \
         folder with --data-dir",
        taken.join(", ")
    );
    Ok(())
}

/// Builds the TLS configuration of a listener from PEM files, which may be replaced at run time. Returns `None` for
/// plain text. The process warns before the certificate ends.
pub fn tls_config(
    files: CertificateFiles<'_>,
    alpn: &[&[u8]],
    context: &ProcessContext,
) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let Some((chain, key)) = files.chain.zip(files.key) else {
        return Ok(None);
    };
    let drain = &context.drain;
    let identity =
        ReloadableIdentity::watch(chain.clone(), key.clone(), CERTIFICATE_POLL_INTERVAL, drain)?;
    let watch = ExpiryWatch {
        subject: files.subject,
        chain: chain.display().to_string(),
        identity: identity.clone(),
        readiness: context.readiness.clone(),
        clock: Arc::clone(&context.clock),
        stage: None,
    };
    drop(drain.spawn("end of a certificate", watch.run(drain.draining())));
    Ok(Some(tls::server(&identity, alpn)?))
}

/// Warnings about the end of the certificate of a listener.
struct ExpiryWatch {
    subject: &'static str,
    chain: String,
    identity: ReloadableIdentity,
    readiness: Readiness,
    clock: SharedClock,
    /// Stage of the last log line.
    stage: Option<ExpiryStage>,
}

impl ExpiryWatch {
    async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut ticks = interval(CERTIFICATE_POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = ticks.tick() => self.check(),
            }
        }
    }

    /// Sets the warnings of the process, and logs the first one of each stage.
    fn check(&mut self) {
        let now = self.clock.now();
        let end = self.identity.not_after();
        let stage = end.and_then(|end| ExpiryStage::at(end, now));
        let text = end
            .zip(stage)
            .map(|(end, stage)| stage.describe(&self.chain, end, now));
        if let Some(text) = &text
            && stage > self.stage
        {
            tracing::warn!("{}: {text}", self.subject);
        }
        self.stage = stage;
        self.readiness
            .set_warnings(self.subject, text.into_iter().collect());
    }
}

#[cfg(test)]
mod tests;
