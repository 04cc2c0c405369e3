//! Messages that precede the response to a call: its progress notifications and log messages. All others are dropped.

use bytes::Bytes;
use toolgate_mcp::{Edit, Span, envelope::Params, method, object, splice};

use crate::{asking::Kind, session::LogLevel};

use super::{Relay, Relayed, result};

/// Unmodified notification of a server. It is rewritten only when it is sent: see [`ResponseRelay::render`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    source: Bytes,
    part: Part,
}

/// Part of a notification that is rewritten for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Span of the progress token.
    Token(Span),
    /// Span of the parameters that hold the logger.
    Logger(Span),
}

impl Relay {
    /// Rewrites the notification for the client.
    pub fn told(&self, notice: &Notice) -> Option<Bytes> {
        let Notice { source, part } = notice;
        let edits = match part {
            Part::Token(span) => {
                let asked = self.call.progress.as_ref()?.as_bytes();
                vec![Edit::replace(*span, asked.to_vec())]
            }
            Part::Logger(params) => self.logger(source, *params).into_iter().collect(),
        };
        splice(source, edits).ok()
    }

    pub(super) fn notice(
        &mut self,
        source: &Bytes,
        method: &str,
        params: Option<&Params<'_>>,
    ) -> Relayed {
        if let (method::CANCELLED, Some(id)) = (method, params.and_then(|params| params.request_id))
        {
            return Relayed::Withdrawn(id.raw.into());
        }
        let relayed = match (method, params) {
            // Legacy clients are notified that the user completed a URL elicitation.
            (method::ELICITED, Some(_)) if !self.is_modern() => {
                let may = self.call.askable().has(Kind::Url.needs());
                may.then(|| Relayed::Forward(source.clone()))
            }
            (method::PROGRESS, Some(params)) => self.progress(source, params),
            (method::MESSAGE, Some(params)) => self.log(source, params),
            _ => None,
        };
        relayed.unwrap_or(Relayed::Ignore)
    }

    /// Accepts progress of this call if the client asked for it and the value increases. The token is replaced by the
    /// client's.
    fn progress(&mut self, source: &Bytes, params: &Params<'_>) -> Option<Relayed> {
        self.call.progress.as_ref()?;
        let token = params.progress_token?;
        let ours = token.raw.parse() == Ok(self.id);
        let value = result::number(object::get(params.span.of(source), "progress")?)?;
        let grows = self.progress.is_none_or(|before| value > before);
        if !ours || !grows {
            return None;
        }
        self.progress = Some(value);
        Some(Relayed::Progress(Notice {
            source: source.clone(),
            part: Part::Token(token.span),
        }))
    }

    /// Accepts a log message if it is severe enough.
    fn log(&self, source: &Bytes, params: &Params<'_>) -> Option<Relayed> {
        let wanted = self.log_level?;
        let level = LogLevel::parse(params.level.as_ref()?.as_str())?;
        let notice = Notice {
            source: source.clone(),
            part: Part::Logger(params.span),
        };
        (level >= wanted).then_some(Relayed::Log(level, notice))
    }

    /// Prefixes the logger with the server's id, because the client only knows the gateway.
    fn logger<'e>(&self, source: &Bytes, params: Span) -> Option<Edit<'e>> {
        let object = params.of(source);
        let logger = object::members(object).find(|member| member.name == "logger")?;
        let name: String = serde_json::from_slice(logger.value).ok()?;
        let span = Span::new(
            params.start + logger.span.start,
            params.start + logger.span.end,
        );
        let server = self.call.server().name.id.as_str();
        let with = result::prefixed(server, &name).into_bytes();
        Some(Edit::replace(span, with))
    }
}
