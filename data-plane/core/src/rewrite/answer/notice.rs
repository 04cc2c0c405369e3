//! What comes ahead of an answer: progress and log messages of this call, and nothing else.

use bytes::Bytes;
use toolgate_mcp::{Edit, Span, envelope::Params, method, object, splice};

use crate::{asking::Kind, session::LogLevel};

use super::{Relay, Relayed, result};

/// What a server says ahead of an answer, as it came. Only what is told is made ready for it: see [`Relay::told`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    source: Bytes,
    part: Part,
}

/// What of it is not the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The progress token.
    Token(Span),
    /// The logger, in these parameters.
    Logger(Span),
}

impl Relay {
    /// As the client is told.
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
            // Legacy clients are told that somebody has been where they were sent.
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

    /// Under the client's token; only of this call, only if asked for, only if it increases.
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

    /// If it is severe enough.
    fn log(&self, source: &Bytes, params: &Params<'_>) -> Option<Relayed> {
        let wanted = self.log_level?;
        let level = LogLevel::parse(params.level.as_ref()?.as_str())?;
        let notice = Notice {
            source: source.clone(),
            part: Part::Logger(params.span),
        };
        (level >= wanted).then_some(Relayed::Log(level, notice))
    }

    /// With the server's id ahead of the logger, since the client knows the gateway only.
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
