//! What comes ahead of an answer: progress and log messages of this call, and nothing else.

use bytes::Bytes;
use toolgate_mcp::{Edit, Span, envelope::Params, method, object, splice};

use crate::{asking::Kind, session::LogLevel};

use super::{Relay, Relayed, result};

impl Relay {
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
            (method::PROGRESS, Some(params)) => {
                let edits = self.progress(source, params);
                edited(source, edits).map(Relayed::Progress)
            }
            (method::MESSAGE, Some(params)) => {
                self.log(source, params).and_then(|(level, edits)| {
                    edited(source, Some(edits)).map(|message| Relayed::Log(level, message))
                })
            }
            _ => None,
        };
        relayed.unwrap_or(Relayed::Ignore)
    }

    /// Under the client's token; only of this call, only if asked for, only if it increases.
    fn progress<'e>(&mut self, source: &Bytes, params: &Params<'_>) -> Option<Vec<Edit<'e>>> {
        let asked = self.call.progress.as_ref()?;
        let token = params.progress_token?;
        let value = result::number(object::get(params.span.of(source), "progress")?)?;
        let grows = self.progress.is_none_or(|before| value > before);
        if token.raw != self.id.to_string() || !grows {
            return None;
        }
        self.progress = Some(value);
        Some(vec![Edit::replace(token.span, asked.as_bytes().to_vec())])
    }

    /// If it is severe enough, and with the server's id ahead of the logger, since the client knows the gateway only.
    fn log<'e>(&self, source: &Bytes, params: &Params<'_>) -> Option<(LogLevel, Vec<Edit<'e>>)> {
        let wanted = self.log_level?;
        let level = LogLevel::parse(params.level.as_ref()?.as_str())?;
        if level < wanted {
            return None;
        }
        let object = params.span.of(source);
        let logger = object::members(object).find(|member| member.name == "logger");
        let server = self.call.server().name.id.as_str();
        let edit = logger.and_then(|logger| {
            let name: String = serde_json::from_slice(logger.value).ok()?;
            let at = params.span.start;
            let span = Span::new(at + logger.span.start, at + logger.span.end);
            let with = result::prefixed(server, &name).into_bytes();
            Some(Edit::replace(span, with))
        });
        Some((level, edit.into_iter().collect()))
    }
}

fn edited(source: &Bytes, edits: Option<Vec<Edit<'_>>>) -> Option<Bytes> {
    splice(source, edits?).ok()
}
