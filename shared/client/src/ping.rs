//! Ping of a server outside of any session. An answer of any kind shows that the server is up.

use toolgate_egress::HttpClient;
use toolgate_mcp::{
    message::{self, Implementation},
    method, versions,
};
use toolgate_model::Era;

use crate::{
    endpoint::ServerEndpoint,
    error::ClientError,
    modern::{meta, next_id},
    rpc_client::ask,
    send::RequestHeaders,
};

/// Pings a server: `server/discover` in the modern era, which has no ping, and `ping` in the legacy era. Legacy servers often
/// refuse the latter for lack of a session.
pub async fn ping(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    era: Era,
) -> Result<(), ClientError> {
    let id = next_id().to_string();
    let (headers, request) = match era {
        Era::Modern => {
            let client = Implementation {
                name: "toolgate".to_owned(),
                title: String::new(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            };
            let request = message::discover(&id, &meta(&client.to_json()));
            let headers = RequestHeaders::modern(versions::MODERN, method::DISCOVER, None);
            (headers, request)
        }
        Era::Legacy => {
            let request = message::request(&id, method::PING, None);
            (RequestHeaders::none(), request)
        }
    };
    ask(http, endpoint, headers, &id, request).await
}
