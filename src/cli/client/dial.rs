//! Connections of the command line to the admin API and to gateways, at addresses that its user chose. They go
//! through `toolgate_egress` like all other connections.

use std::{path::Path, time::Duration};

use http::Uri;
use rustls::pki_types::{CertificateDer, ServerName};
use tonic::transport::{Channel, Endpoint};
use toolgate_egress::{
    ClientTls, ControlConnector, Egress, EgressPolicy, HttpClient, PoolOptions, control_channel,
};
use toolgate_runtime::tls;

use crate::cli::output::error::{CliError, CliErrorKind};

/// Timeout of a response that does not depend on another server.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns a channel to the admin API at `addr`, with its connector. It connects with the first call.
pub fn channel(addr: &str, ca: Option<&Path>) -> Result<(Channel, ControlConnector), CliError> {
    let invalid = |reason: &str| {
        CliError::usage(format!(
            "`{addr}` is not an address of the admin API: {reason}"
        ))
        .with_next_step("give it like http://127.0.0.1:7400")
    };
    let url = if addr.contains("://") {
        addr.to_owned()
    } else {
        format!("http://{addr}")
    };
    let uri: Uri = url.parse().map_err(|_| invalid("not a URL"))?;
    let host = uri
        .host()
        .ok_or_else(|| invalid("it names no host"))?
        .to_owned();
    let (tls, port) = match uri.scheme_str() {
        Some("http") => (None, 80),
        Some("https") => (Some(client_tls(&host, ca)?), 443),
        Some(_) | None => return Err(invalid("use http or https")),
    };
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(port));
    // The connector does TLS itself; tonic needs an endpoint without TLS, with the true origin.
    let endpoint = Endpoint::from_static("http://admin").origin(uri);
    let connector = control_channel(&address, tls);
    let channel = endpoint.connect_with_connector_lazy(connector.clone());
    Ok((channel, connector))
}

fn client_tls(host: &str, ca: Option<&Path>) -> Result<ClientTls, CliError> {
    let unusable = |error: String| CliError::error(format!("cannot set up TLS: {error}"));
    let mut roots: Vec<CertificateDer<'static>> = rustls_native_certs::load_native_certs().certs;
    if let Some(file) = ca {
        roots.extend(tls::certificates_from(file).map_err(|error| unusable(error.to_string()))?);
    }
    let config =
        tls::client(&roots, None, tls::ALPN_H2).map_err(|error| unusable(error.to_string()))?;
    let name = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let server_name = ServerName::try_from(name)
        .map_err(|error| CliError::usage(format!("`{host}` is not a name for TLS: {error}")))?;
    Ok(ClientTls {
        config,
        server_name,
    })
}

/// Returns an HTTP client for gateways. All addresses are allowed, because the user of the program chose them.
pub fn http_client(ca: Option<&Path>) -> Result<HttpClient, CliError> {
    let unusable = |error: String| CliError::error(format!("cannot set up TLS: {error}"));
    let extra_roots = match ca {
        Some(file) => tls::certificates_from(file).map_err(|error| unusable(error.to_string()))?,
        None => Vec::new(),
    };
    let everywhere = ["0.0.0.0/0", "::/0"];
    let allow_networks = everywhere
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect();
    let policy = EgressPolicy {
        allow_networks,
        allow_plain_http: true,
        extra_roots,
        ..EgressPolicy::default()
    };
    let egress = Egress::new(policy).map_err(|error| unusable(error.to_string()))?;
    Ok(egress.http(PoolOptions {
        connect_timeout: Duration::from_secs(5),
        ..PoolOptions::default()
    }))
}

/// Error of a failed connection to a gateway.
pub fn unreachable(url: &str, error: &toolgate_egress::EgressError) -> CliError {
    CliError::new(
        CliErrorKind::Unavailable,
        format!("no answer from {url}: {error}"),
    )
    .with_next_step("check that a proxy runs there; `toolgate doctor` looks closer")
}

/// Error of a request to `url` that received no response within the timeout.
pub fn no_response(url: &str) -> CliError {
    CliError::new(
        CliErrorKind::Unavailable,
        format!(
            "no answer from {url}: nothing was said within {} s",
            RESPONSE_TIMEOUT.as_secs()
        ),
    )
    .with_next_step("check that a proxy runs there; `toolgate doctor` looks closer")
}
