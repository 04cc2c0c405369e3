//! Messages that precede the response to a call: its progress notifications and log messages. All others are dropped.

use bytes::Bytes;
use toolgate_mcp::{
    ByteEdit, ByteSpan, FrameLimits,
    envelope::MessageParams,
    method, object,
    server_message::{ServerMessageBody, scan},
    splice,
};

use crate::{call::elicitation::ElicitationKind, session::LogLevel};

use super::{RelayAction, ResponseRelay, result};

/// Unmodified notification of a server. It is rewritten only when it is sent: see [`ResponseRelay::render`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNotification {
    source: Bytes,
    rewritten: RewrittenPart,
}

/// Part of a notification that is rewritten for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RewrittenPart {
    /// Span of the progress token.
    Token(ByteSpan),
    /// Span of the parameters that hold the logger.
    Logger(ByteSpan),
}

/// Returns `true` for notifications of which most are dropped in a flood. They are rewritten when they are sent.
pub(super) fn is_rendered_later(body: &ServerMessageBody<'_>) -> bool {
    let ServerMessageBody::Notification { method, .. } = body else {
        return false;
    };
    matches!(method.as_str(), method::PROGRESS | method::MESSAGE)
}

/// Returns the message without members whose names differ from those of the protocol by case only. Returns `None` if it is
/// ambiguous.
fn without_case_variants(message: Bytes) -> Option<Bytes> {
    let read = scan(&message, &FrameLimits::LENIENT).ok()?;
    match read.without_case_variants() {
        None => Some(message),
        Some(clean) => clean.ok(),
    }
}

impl ResponseRelay {
    /// Rewrites the notification for the client.
    pub fn render(&self, notice: &ServerNotification) -> Option<Bytes> {
        let ServerNotification {
            source,
            rewritten: part,
        } = notice;
        let edits = match part {
            RewrittenPart::Token(span) => {
                let client_token = self.call.progress.as_ref()?.as_bytes();
                vec![ByteEdit::replace(*span, client_token.to_vec())]
            }
            RewrittenPart::Logger(params) => {
                self.prefix_logger(source, *params).into_iter().collect()
            }
        };
        without_case_variants(splice(source, edits).ok()?)
    }

    pub(super) fn on_notification(
        &mut self,
        source: &Bytes,
        method: &str,
        params: Option<&MessageParams<'_>>,
    ) -> RelayAction {
        if let (method::CANCELLED, Some(id)) = (method, params.and_then(|params| params.request_id))
        {
            return RelayAction::Cancelled(id.raw.into());
        }
        let relayed = match (method, params) {
            // Legacy clients are notified that the user completed a URL elicitation.
            (method::ELICITATION_COMPLETE, Some(_)) if !self.is_modern() => {
                let may = self
                    .call
                    .requestable_capabilities()
                    .contains(ElicitationKind::Url.needs());
                may.then(|| RelayAction::Forward(source.clone()))
            }
            (method::PROGRESS, Some(params)) => self.progress_action(source, params),
            (method::MESSAGE, Some(params)) => self.log_action(source, params),
            _ => None,
        };
        relayed.unwrap_or(RelayAction::Ignore)
    }

    /// Accepts progress of this call if the client asked for it and the value increases. The token is replaced by the
    /// client's.
    fn progress_action(
        &mut self,
        source: &Bytes,
        params: &MessageParams<'_>,
    ) -> Option<RelayAction> {
        self.call.progress.as_ref()?;
        let token = params.progress_token?;
        let is_own_token = token.raw.parse() == Ok(self.id);
        let value = result::number(object::get(params.span.of(source), "progress")?)?;
        let grows = self.progress.is_none_or(|before| value > before);
        if !is_own_token || !grows {
            return None;
        }
        self.progress = Some(value);
        Some(RelayAction::Progress(ServerNotification {
            source: source.clone(),
            rewritten: RewrittenPart::Token(token.span),
        }))
    }

    /// Accepts a log message if it is severe enough.
    fn log_action(&self, source: &Bytes, params: &MessageParams<'_>) -> Option<RelayAction> {
        let minimum = self.log_level?;
        let level = LogLevel::parse(params.level.as_ref()?.as_str())?;
        let notice = ServerNotification {
            source: source.clone(),
            rewritten: RewrittenPart::Logger(params.span),
        };
        (level >= minimum).then_some(RelayAction::Log(level, notice))
    }

    /// Prefixes the logger with the server's id, because the client only knows the gateway.
    fn prefix_logger<'e>(&self, source: &Bytes, params: ByteSpan) -> Option<ByteEdit<'e>> {
        let object = params.of(source);
        let logger = object::members(object).find(|member| member.name == "logger")?;
        let name: String = serde_json::from_slice(logger.value).ok()?;
        let span = ByteSpan::new(
            params.start + logger.span.start,
            params.start + logger.span.end,
        );
        let server = self.call.server().name.id.as_str();
        let with = result::prefixed(server, &name).into_bytes();
        Some(ByteEdit::replace(span, with))
    }
}
