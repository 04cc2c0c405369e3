//! Conversations with a legacy server: `initialize`, a session, its stream, goodbye.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::HeaderValue;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
    apps,
    message::{self, Implementation},
    versions,
};
use toolgate_runtime::drain::Drain;

use crate::{
    changes::{Changes, session_changes},
    conversation::{Answered, Line},
    endpoint::Endpoint,
    error::ClientError,
    old::{OldStream, may_be_old},
    peer::ServerFacts,
    send::{Headers, delete, send},
};

/// What `initialize` led to.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// The session that the server assigned, if it did.
    pub session: Option<HeaderValue>,
    /// The version that both speak.
    pub version: &'static str,
    /// What the server says about itself.
    pub facts: ServerFacts,
    /// The stream on which it answers, if it is one of old.
    pub old: Option<Arc<OldStream>>,
}

/// One session with a server.
#[derive(Debug)]
pub struct LegacySession {
    line: Line,
    handshake: Handshake,
    next_id: AtomicU64,
}

/// Longest session id that is accepted.
const MAX_SESSION_ID: usize = 4096;

/// Opens a session: `initialize` in `version`, and `notifications/initialized`. `capabilities` is a JSON object: what
/// we offer the server in it. A server that does not take it is asked the way of 2024-11-05, on a stream that is read
/// under `drain`.
pub async fn handshake(
    http: &HttpClient,
    endpoint: &Endpoint,
    version: &str,
    capabilities: &str,
    us: &Implementation,
    drain: &Drain,
) -> Result<Handshake, ClientError> {
    let mut line = Line {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    // Ids must not repeat within a session: who goes on with it starts at 1.
    let request = message::initialize("0", version, capabilities, us);
    let asked = line.ask(Headers::none(), "0", request.clone()).await;
    let (answered, reply) = match asked {
        Err(error) if may_be_old(&error) => {
            let opened = OldStream::open(http, endpoint, drain).await?;
            // Not one of old either: what it said first is what is wrong.
            line.endpoint.old = Some(opened.ok_or(error)?);
            line.ask(Headers::none(), "0", request).await?
        }
        asked => asked?,
    };
    let facts = ServerFacts::of_initialize(answered.result.of(&answered.message))?;
    let Some(version) = versions::of_server(&facts.version) else {
        let theirs = facts.version;
        return Err(ClientError::NoCommonVersion { theirs });
    };
    let session = reply.session().cloned().map(|mut id| {
        // Whoever has it can take part in the session.
        id.set_sensitive(true);
        id
    });
    if session.as_ref().is_some_and(|id| !is_session_id(id)) {
        let words = "the server's session id is not one that can be sent back";
        return Err(ClientError::Protocol(words.into()));
    }
    let headers = Headers::legacy(version, session.as_ref());
    let reply = send(http, &line.endpoint, headers, message::initialized()).await?;
    if !reply.status.is_success() {
        return Err(reply.into_problem().await);
    }
    Ok(Handshake {
        session,
        version,
        facts,
        old: line.endpoint.old,
    })
}

fn is_session_id(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let visible = bytes.iter().all(|byte| (0x21..=0x7e).contains(byte));
    visible && (1..=MAX_SESSION_ID).contains(&bytes.len())
}

impl LegacySession {
    /// Opens a session that offers nothing to the server.
    pub async fn open(
        http: &HttpClient,
        endpoint: &Endpoint,
        version: &str,
        us: &Implementation,
        drain: &Drain,
    ) -> Result<Self, ClientError> {
        let handshake = handshake(http, endpoint, version, apps::SHOWS_PAGES, us, drain).await?;
        let line = Line {
            http: http.clone(),
            endpoint: endpoint.clone().over(handshake.old.clone()),
        };
        Ok(Self {
            line,
            handshake,
            next_id: AtomicU64::new(1),
        })
    }

    /// What was agreed.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// What the server says about itself.
    pub fn facts(&self) -> &ServerFacts {
        &self.handshake.facts
    }

    /// Its own stream, as a feed of changes; nothing if it has none.
    pub async fn changes(&self) -> Result<Option<Changes>, ClientError> {
        let Line { http, endpoint } = &self.line;
        session_changes(http, endpoint, self.headers()).await
    }

    /// Ends the session. A server that does not care is not argued with.
    pub async fn close(self) {
        if self.handshake.session.is_some() {
            let Line { http, endpoint } = &self.line;
            let _ended = delete(http, endpoint, self.headers()).await;
        }
    }

    pub(crate) async fn page(
        &self,
        method: &str,
        cursor: Option<&str>,
    ) -> Result<Answered, ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let request = message::list(method, &id, cursor, None);
        let (answered, _) = self.line.ask(self.headers(), &id, request).await?;
        Ok(answered)
    }

    fn headers(&self) -> Headers {
        let Handshake {
            session, version, ..
        } = &self.handshake;
        Headers::legacy(version, session.as_ref())
    }
}

#[cfg(test)]
mod tests;
