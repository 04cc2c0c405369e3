//! Outbound connections: the only crate that opens outbound sockets. For configured MCP servers, [`Egress`] resolves a
//! host name, vets every address and connects to a vetted one, or through a proxy of the operator; redirects are not followed.
//! For the deployment's own control plane, [`ControlConnector`] connects to the operator's
//! address.

pub mod body;
pub mod certificate;
pub mod control;
pub mod error;
pub mod forward_proxy;
pub mod http_client;
pub mod policy;
pub mod resolve;
pub mod response_body;

mod connector;
mod exhaustion;
mod http1_connection;
mod name_cache;
mod pool;

use std::error::Error;

use http::HeaderValue;

pub use body::EgressRequestBody;
pub use certificate::CertificateProblem;
pub use control::{
    ClientTls, ConnectProblem, ControlConnectError, ControlConnector, control_channel,
};
pub use error::{EgressError, EgressErrorClass};
pub use forward_proxy::{ForwardProxies, ForwardProxySettings};
pub use http_client::{Egress, HttpClient, RequestTimeouts, system_roots};
pub use policy::{EgressPolicy, ForbiddenAddress, vet};
pub use pool::PoolOptions;
pub use resolve::{HostResolver, SystemResolver};
pub use response_body::EgressResponseBody;

/// `User-Agent` of every request.
pub(crate) const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!("toolgate/", env!("CARGO_PKG_VERSION")));

/// Formats an error with its sources on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}
