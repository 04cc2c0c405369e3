//! A server's feed of changes: the GET stream of a legacy session, `subscriptions/listen` of a modern server.

use toolgate_mcp::{answer::Body, method};

use crate::{
    body::EventStream,
    conversation::{Line, scan},
    error::ClientError,
    send::Headers,
};

/// What a server says has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its tools.
    Tools,
    /// Its prompts.
    Prompts,
    /// Its resources.
    Resources,
}

/// A feed of changes.
#[derive(Debug)]
pub struct Changes {
    stream: EventStream,
    /// For what a legacy server asks on its stream.
    answers: Option<(Line, Headers)>,
}

impl Changes {
    pub(crate) fn legacy(stream: EventStream, line: Line, headers: Headers) -> Self {
        let answers = Some((line, headers));
        Self { stream, answers }
    }

    pub(crate) fn modern(stream: EventStream) -> Self {
        let answers = None;
        Self { stream, answers }
    }

    /// The next change; none when the server has ended the feed. Changes may have been missed then.
    pub async fn next(&mut self) -> Result<Option<Change>, ClientError> {
        while let Some(message) = self.stream.message().await? {
            let answer = scan(&message)?;
            match &answer.body {
                Body::Notification { method, .. } => match method.as_str() {
                    method::TOOLS_CHANGED => return Ok(Some(Change::Tools)),
                    method::PROMPTS_CHANGED => return Ok(Some(Change::Prompts)),
                    method::RESOURCES_CHANGED => return Ok(Some(Change::Resources)),
                    // Acknowledgement, logs, and what later revisions may bring.
                    _ => {}
                },
                Body::Request { method, .. } => {
                    if let (Some((line, headers)), Some(id)) = (&self.answers, answer.id) {
                        line.refuse(headers, id.raw, method.as_str()).await;
                    }
                }
                // The answer to `subscriptions/listen` is its graceful end.
                Body::Result(_) | Body::Error(_) if self.answers.is_none() => return Ok(None),
                Body::Result(_) | Body::Error(_) => {}
            }
        }
        Ok(None)
    }
}
