//! A keep-alive connection with the requests of both eras.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::body::read_to_end;

/// Timeout of a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"}}"#;

/// Endpoint with address, headers and protocol version.
#[derive(Clone, Debug)]
pub struct LoadTarget {
    address: String,
    path: Uri,
    headers: HeaderMap,
    /// True to speak 2026-07-28 instead of 2025-11-25.
    pub modern: bool,
}

impl LoadTarget {
    /// Parses `url`; `token` is sent as a bearer token if it is not empty.
    pub fn new(url: &str, token: &str, modern: bool) -> Result<Self> {
        let uri: Uri = url.parse()?;
        let address = uri
            .authority()
            .context("a URL without an address")?
            .to_string();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(&address)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
        if !token.is_empty() {
            headers.insert(
                AUTHORIZATION,
                HeaderValue::from_str(&format!("Bearer {token}"))?,
            );
        }
        Ok(Self {
            address,
            path: uri.path().parse()?,
            headers,
            modern,
        })
    }
}

/// Id of a legacy session; empty in the modern era.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientSession {
    id: Option<HeaderValue>,
}

pub(super) struct ClientConnection {
    target: LoadTarget,
    sender: Option<SendRequest<Full<Bytes>>>,
}

pub(super) struct LoadResponse {
    pub(super) status: StatusCode,
    pub(super) session: Option<HeaderValue>,
    pub(super) body: Bytes,
}

impl LoadResponse {
    /// Returns the body of a successful response that contains `contains`; otherwise an error.
    pub(super) fn success(self, contains: &[u8]) -> Result<Bytes> {
        let found = memchr::memmem::find(&self.body, contains).is_some();
        if self.status != StatusCode::OK || !found {
            let start = self
                .body
                .get(..self.body.len().min(200))
                .unwrap_or_default();
            bail!("{}: {}", self.status, String::from_utf8_lossy(start));
        }
        Ok(self.body)
    }
}

impl ClientConnection {
    pub(super) fn new(target: LoadTarget) -> Self {
        Self {
            target,
            sender: None,
        }
    }

    fn request(
        &self,
        method: Method,
        session: &ClientSession,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.target.path.clone();
        request.headers_mut().clone_from(&self.target.headers);
        if let Some(id) = &session.id {
            request.headers_mut().insert("mcp-session-id", id.clone());
            let version = HeaderValue::from_static(LEGACY);
            request
                .headers_mut()
                .insert("mcp-protocol-version", version);
        }
        request
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a load generator is not the product"
    )]
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let socket = TcpStream::connect(&self.target.address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        tokio::task::spawn_local(async move {
            // The pending request receives the error of the connection.
            drop(connection.await);
        });
        Ok(sender)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let mut alive = self.sender.take();
        if let Some(sender) = &mut alive
            && sender.ready().await.is_err()
        {
            alive = None;
        }
        let mut sender = match alive {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let answer = sender.send_request(request).await?;
        self.sender = Some(sender);
        Ok(answer)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<LoadResponse> {
        let exchange = async {
            let (head, body) = self.send(request).await?.into_parts();
            let session = head.headers.get("mcp-session-id").cloned();
            Ok(LoadResponse {
                status: head.status,
                session,
                body: read_to_end(body).await?,
            })
        };
        tokio::time::timeout(RESPONSE_TIMEOUT, exchange)
            .await
            .context("no answer in time")?
    }

    /// Sends a request with these members of `params` (without braces), in the target's era.
    pub(super) async fn ask(
        &mut self,
        session: &ClientSession,
        id: u64,
        method: &'static str,
        name: Option<&str>,
        params: &str,
    ) -> Result<LoadResponse> {
        let modern = self.target.modern;
        let meta = if modern { META } else { "" };
        let comma = if params.is_empty() || !modern {
            ""
        } else {
            ","
        };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}{meta}}}}}"#
        );
        let mut request = self.request(Method::POST, session, body.into());
        if modern {
            let headers = request.headers_mut();
            headers.insert("mcp-protocol-version", HeaderValue::from_static(MODERN));
            headers.insert("mcp-method", HeaderValue::from_static(method));
            if let Some(name) = name {
                headers.insert("mcp-name", HeaderValue::from_str(name)?);
            }
        }
        self.exchange(request).await
    }

    /// Opens a session; no effect in the modern era.
    pub(super) async fn open(&mut self) -> Result<ClientSession> {
        if self.target.modern {
            return Ok(ClientSession::default());
        }
        let nobody = ClientSession::default();
        let params = format!(
            r#""protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{"name":"load","version":"1"}}"#
        );
        let reply = self.ask(&nobody, 0, "initialize", None, &params).await?;
        let session = ClientSession {
            id: reply.session.clone(),
        };
        reply.success(b"\"result\"").context("initialize")?;
        let done = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let request = self.request(Method::POST, &session, done.into());
        let status = self.exchange(request).await?.status;
        if !status.is_success() {
            bail!("initialized: {status}");
        }
        Ok(session)
    }

    /// Closes a session.
    pub(super) async fn close(&mut self, session: &ClientSession) -> Result<()> {
        let request = self.request(Method::DELETE, session, Bytes::new());
        let status = self.exchange(request).await?.status;
        if !status.is_success() {
            bail!("DELETE: {status}");
        }
        Ok(())
    }

    /// Opens the event stream of a session. It stays open while the response is held.
    pub(super) async fn listen(&mut self, session: &ClientSession) -> Result<Response<Incoming>> {
        let request = self.request(Method::GET, session, Bytes::new());
        let answer = tokio::time::timeout(RESPONSE_TIMEOUT, self.send(request)).await??;
        if answer.status() != StatusCode::OK {
            bail!("GET: {}", answer.status());
        }
        Ok(answer)
    }

    /// Returns the name of the tool that ends with `wanted`; the gateway may have added a prefix.
    pub(super) async fn find(&mut self, session: &ClientSession, wanted: &str) -> Result<String> {
        let body = self
            .ask(session, 1, "tools/list", None, "")
            .await?
            .success(b"\"result\"")?;
        let text = String::from_utf8_lossy(&body);
        let start = text.find('{').context("no JSON in the answer")?;
        let line = text
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let message: serde_json::Value = serde_json::from_str(line)?;
        let tools = message
            .pointer("/result/tools")
            .and_then(serde_json::Value::as_array);
        let names = tools
            .into_iter()
            .flatten()
            .filter_map(|tool| tool.get("name")?.as_str());
        let found = names
            .filter(|name| name.ends_with(wanted))
            .min_by_key(|name| name.len());
        found
            .map(str::to_owned)
            .with_context(|| format!("no tool {wanted}"))
    }
}
