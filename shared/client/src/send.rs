//! Sending of one request and receiving of one response head. Frames are sent unchanged.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use tokio::time::Instant;
use toolgate_egress::{EgressRequestBody, HttpClient, RequestTimeouts};
use toolgate_mcp::{cdn_loop, headers, method, versions};

use crate::{
    body::ReadDeadlines,
    endpoint::ServerEndpoint,
    error::{ClientError, TimeoutPhase},
    events::EventStream,
    presented::PresentedCredential,
    reply::{ReplyBody, ServerReply},
    stream_cursor::last_event_id_header,
};

const ACCEPT_POST: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// Answers are forwarded as they are, and compression would only delay them.
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const ACCEPT_GET: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Header values of most requests, as constants without a copy.
const MODERN: HeaderValue = HeaderValue::from_static(versions::MODERN);
const TOOLS_CALL: HeaderValue = HeaderValue::from_static(method::TOOLS_CALL);
const VERSION: HeaderName = HeaderName::from_static(headers::VERSION);
const METHOD: HeaderName = HeaderName::from_static(headers::METHOD);
const NAME: HeaderName = HeaderName::from_static(headers::NAME);
const SESSION: HeaderName = HeaderName::from_static(headers::SESSION);
const CDN_LOOP: HeaderName = HeaderName::from_static(cdn_loop::CDN_LOOP);
const LAST_EVENT: HeaderName = HeaderName::from_static(headers::LAST_EVENT_ID);

/// Request headers in addition to those of every request.
#[derive(Debug, Clone, Default)]
pub struct RequestHeaders(HeaderMap);

impl RequestHeaders {
    /// Returns no headers, for `initialize`.
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns the headers of a request in a legacy session.
    pub fn legacy(version: &str, session: Option<&HeaderValue>) -> Self {
        let mut map = HeaderMap::with_capacity(8);
        if let Ok(version) = HeaderValue::from_str(version) {
            map.insert(VERSION, version);
        }
        if let Some(session) = session {
            map.insert(SESSION, session.clone());
        }
        Self(map)
    }

    /// Returns the headers of a modern message; `name` as in its body.
    pub fn modern(version: &str, method: &str, name: Option<&str>) -> Self {
        let mut map = HeaderMap::with_capacity(8);
        let mut put = |header, value: Option<HeaderValue>| {
            if let Some(value) = value {
                map.insert(header, value);
            }
        };
        let made = |value: &str| HeaderValue::from_str(value).ok();
        put(
            VERSION,
            match version {
                versions::MODERN => Some(MODERN),
                other => made(other),
            },
        );
        put(
            METHOD,
            match method {
                method::TOOLS_CALL => Some(TOOLS_CALL),
                other => made(&headers::encode(other)),
            },
        );
        if let Some(name) = name {
            put(NAME, made(&headers::encode(name)));
        }
        Self(map)
    }

    /// Returns the headers of a response to a request of a modern server: a response names no method.
    pub fn modern_response() -> Self {
        let mut map = HeaderMap::with_capacity(8);
        map.insert(VERSION, MODERN);
        Self(map)
    }

    /// Returns `true` for headers of a modern message, which belongs to no session.
    pub(crate) fn is_modern(&self) -> bool {
        self.0.contains_key(&METHOD)
    }

    /// Adds the session id of a response, if it has one.
    pub(crate) fn with_session_of(mut self, reply: &ServerReply) -> Self {
        if let Some(session) = reply.session() {
            self.0.insert(SESSION, session.clone());
        }
        self
    }

    /// Adds a header, e.g. a mirrored argument or `traceparent`. An invalid header is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            self.0.insert(name, value);
        }
        self
    }

    /// Adds `CDN-Loop` of the request of a client that leads to this one.
    #[must_use]
    pub fn with_cdn_loop(mut self, passed: Option<&HeaderValue>) -> Self {
        if let Some(passed) = passed {
            self.0.insert(CDN_LOOP, passed.clone());
        }
        self
    }
}

/// Posts one message and waits for the response head. The response body is subject to the endpoint's limits.
pub async fn send(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    headers: RequestHeaders,
    message: Bytes,
) -> Result<ServerReply, ClientError> {
    if let Some(old) = &endpoint.http_sse {
        return Box::pin(old.send(http, endpoint, headers, message)).await;
    }
    let request = post((endpoint, &endpoint.uri), headers, message)?;
    head(http, endpoint, request, bounded).await
}

/// Like [`send`], to the message URL of an HTTP+SSE server.
pub(crate) async fn send_to(
    http: &HttpClient,
    (endpoint, uri): (&ServerEndpoint, &Uri),
    headers: RequestHeaders,
    message: Bytes,
) -> Result<ServerReply, ClientError> {
    let request = post((endpoint, uri), headers, message)?;
    head(http, endpoint, request, bounded).await
}

/// Like [`send`], for a long-lived response stream: no deadline applies after the response head.
pub async fn send_open_ended(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    headers: RequestHeaders,
    message: Bytes,
) -> Result<ServerReply, ClientError> {
    let request = post((endpoint, &endpoint.uri), headers, message)?;
    head(http, endpoint, request, unbounded).await
}

/// Opens a legacy server's GET stream, after `last_event` if the server supports that. Returns `None` if the server
/// offers no stream. No deadline applies after the response head: the reader decides.
pub async fn open_stream(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    headers: RequestHeaders,
    last_event: Option<&str>,
) -> Result<Option<EventStream>, ClientError> {
    if let Some(old) = &endpoint.http_sse {
        return old.listen(endpoint);
    }
    let mut request = request(
        (endpoint, &endpoint.uri),
        Method::GET,
        headers,
        EgressRequestBody::empty(),
    )?;
    request.headers_mut().insert(header::ACCEPT, ACCEPT_GET);
    if let Some(id) = last_event {
        request
            .headers_mut()
            .insert(LAST_EVENT, last_event_id_header(id)?);
    }
    let reply = head(http, endpoint, request, unbounded).await?;
    match reply.body {
        ReplyBody::Sse(stream) => Ok(Some(*stream)),
        // Statuses of servers without this stream.
        ReplyBody::Json(_) | ReplyBody::Other(_) | ReplyBody::Accepted
            if matches!(
                reply.status.as_u16(),
                200 | 202 | 204 | 400 | 405 | 406 | 501
            ) =>
        {
            Ok(None)
        }
        ReplyBody::Json(_) | ReplyBody::Other(_) | ReplyBody::Accepted => {
            Err(reply.into_problem().await)
        }
    }
}

/// Ends a legacy session. Not supported (405) and unknown session (404) are no errors.
pub async fn delete(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    headers: RequestHeaders,
) -> Result<(), ClientError> {
    let request = request(
        (endpoint, &endpoint.uri),
        Method::DELETE,
        headers,
        EgressRequestBody::empty(),
    )?;
    let reply = head(http, endpoint, request, bounded).await?;
    if reply.status.is_success() || matches!(reply.status.as_u16(), 404 | 405) {
        return Ok(());
    }
    Err(reply.into_problem().await)
}

/// Returns the deadlines of a body whose request is sent at `now`.
pub(crate) fn bounded(endpoint: &ServerEndpoint, now: Instant) -> ReadDeadlines {
    ReadDeadlines {
        idle: Some(endpoint.timeouts.idle),
        end: Some(now + endpoint.timeouts.total),
    }
}

fn unbounded(_endpoint: &ServerEndpoint, _now: Instant) -> ReadDeadlines {
    ReadDeadlines::NONE
}

fn post(
    to: (&ServerEndpoint, &Uri),
    headers: RequestHeaders,
    message: Bytes,
) -> Result<Request<EgressRequestBody>, ClientError> {
    let body = EgressRequestBody::full(message);
    let mut request = request(to, Method::POST, headers, body)?;
    let map = request.headers_mut();
    map.insert(header::ACCEPT, ACCEPT_POST);
    map.insert(header::CONTENT_TYPE, JSON);
    Ok(request)
}

fn request(
    (endpoint, uri): (&ServerEndpoint, &Uri),
    method: Method,
    headers: RequestHeaders,
    body: EgressRequestBody,
) -> Result<Request<EgressRequestBody>, ClientError> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    let credential = endpoint.credential.as_ref();
    *request.uri_mut() = match credential {
        Some(credential) => credential.apply_to(uri).ok_or(ClientError::Request(
            "the URL of the server is too long with the query parameters of its credential",
        ))?,
        None => uri.clone(),
    };
    *request.headers_mut() = headers.0;
    request
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, IDENTITY);
    // Set last, so that no header of a caller overrides them.
    for (name, value) in credential
        .into_iter()
        .flat_map(PresentedCredential::headers)
    {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    if let Some(own) = &endpoint.cdn_id {
        let map = request.headers_mut();
        let passed = map.get(&CDN_LOOP).map(|passed| appended(passed, own));
        map.insert(CDN_LOOP, passed.unwrap_or_else(|| own.clone()));
    }
    Ok(request)
}

/// Returns `CDN-Loop` with the id of this deployment at its end: one line, because some servers read the first one only.
fn appended(passed: &HeaderValue, own: &HeaderValue) -> HeaderValue {
    let joined = [passed.as_bytes(), own.as_bytes()].join(&b", "[..]);
    // Unreachable: both are values of headers.
    HeaderValue::from_bytes(&joined).unwrap_or_else(|_invalid| own.clone())
}

async fn head(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    request: Request<EgressRequestBody>,
    deadlines: fn(&ServerEndpoint, Instant) -> ReadDeadlines,
) -> Result<ServerReply, ClientError> {
    let now = Instant::now();
    let limits = RequestTimeouts {
        connect: endpoint.timeouts.connect,
        head: endpoint.timeouts.first_byte,
        total: endpoint.timeouts.total,
    };
    // The limit for connecting is reported in the error of the connection.
    let response = http.request_within(request, limits).await;
    let response = response.ok_or(ClientError::Timeout(TimeoutPhase::FirstByte))??;
    Ok(ServerReply::of(
        response,
        endpoint,
        deadlines(endpoint, now),
    ))
}

#[cfg(test)]
mod tests;
