//! Diagnosis of an address whose connections break without a reason: which protocol its peer speaks. A peer that expects TLS
//! answers clear text with an alert or with nothing, which the HTTP/2 client reports as a broken connection.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    connect_to,
    problem::{ConnectProblem, ControlConnectError},
};

/// Maximum time of each step of a diagnosis.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// Connection preface of HTTP/2, with empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Beginning of an answer of HTTP/1.
const HTTP1: &[u8] = b"HTTP/1";

/// Records of TLS begin with their type, an alert or a part of the handshake, and the major version.
const TLS_RECORDS: [[u8; 2]; 2] = [[0x15, 0x03], [0x16, 0x03]];

/// Returns why connections in clear text to this address break, if that shows.
pub(super) async fn of_clear_text(address: &Arc<str>) -> Option<ControlConnectError> {
    let found = |problem| Some(ControlConnectError::new(Arc::clone(address), problem));
    let mut stream = match timeout(STEP_TIMEOUT, connect_to(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Some(error),
        Err(_elapsed) => return found(ConnectProblem::Timeout),
    };
    let answer = timeout(STEP_TIMEOUT, first_bytes(&mut stream)).await;
    drop(stream);
    let answer = answer.ok().and_then(Result::ok).unwrap_or_default();
    if TLS_RECORDS.iter().any(|record| answer.starts_with(record)) {
        return found(ConnectProblem::PeerWithTls);
    }
    if answer.starts_with(HTTP1) {
        return found(ConnectProblem::Http1);
    }
    if answer.is_empty() && speaks_tls(address).await {
        return found(ConnectProblem::PeerWithTls);
    }
    None
}

/// Sends the beginning of a connection, and returns the beginning of the answer.
async fn first_bytes(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    stream.write_all(PREFACE).await?;
    let mut answer = Vec::with_capacity(HTTP1.len());
    let mut rest = stream.take(u64::try_from(HTTP1.len()).unwrap_or(u64::MAX));
    // What has come counts, also if the connection broke then.
    let _end = rest.read_to_end(&mut answer).await;
    Ok(answer)
}

/// Returns `true` if the peer takes part in a TLS handshake, which fails here: no certificate is trusted.
async fn speaks_tls(address: &Arc<str>) -> bool {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let Ok(builder) = builder.with_safe_default_protocol_versions() else {
        return false;
    };
    let config = builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let Ok(server_name) = ServerName::try_from("diagnosis.invalid") else {
        return false;
    };
    let handshake = async {
        let stream = connect_to(address).await.ok()?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(server_name, stream);
        let failed = connecting.await.err()?;
        let tls = failed.get_ref().and_then(|it| it.downcast_ref());
        Some(matches!(
            tls,
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
        ))
    };
    let found = timeout(STEP_TIMEOUT, handshake).await;
    found.ok().flatten().unwrap_or(false)
}

#[cfg(test)]
mod tests;
