//! Bad answers, between the eras.

use bytes::Bytes;
use toolgate_mcp::{Answer, RpcError, Span, error::codes};

use crate::{parts::Parts, refusal::UpstreamFailure, rewrite::stitch::stitch};

use super::{Outcome, Relay, Reply, failed};

/// What becomes of an error of a server.
enum Translated {
    /// It goes as it came.
    AsIs,
    /// It goes under another code.
    Code(i64),
    /// It is between the server and us.
    Failure(UpstreamFailure),
}

impl Relay {
    pub(super) fn error(&self, source: &Bytes, answer: &Answer<'_>, error: Span) -> Reply {
        let fail = |failure| failed(&self.call, failure);
        let Some(read) = RpcError::read(answer.slice(error)) else {
            return fail(UpstreamFailure::Malformed);
        };
        let status = if read.code == codes::MISSING_CAPABILITY {
            400
        } else {
            200
        };
        let body = match self.translate(read.code) {
            Translated::Failure(failure) => return fail(failure),
            Translated::AsIs => stitch(source, vec![answer.with_id(&self.call.id)]),
            Translated::Code(code) => {
                let error = RpcError { code, ..read };
                Ok(Parts::from(error.to_bytes(Some(&self.call.id))))
            }
        };
        match body {
            Ok(body) => Reply {
                body,
                status,
                outcome: Outcome::Error,
            },
            Err(_edit) => fail(UpstreamFailure::Malformed),
        }
    }

    /// The table of codes. What one hop says to the next never leaks to the one after.
    fn translate(&self, code: i64) -> Translated {
        match code {
            codes::HEADER_MISMATCH | codes::UNSUPPORTED_VERSION => {
                Translated::Failure(UpstreamFailure::Status)
            }
            // Nothing of the kind can be relayed to this client.
            codes::MISSING_CAPABILITY if !self.is_modern() => {
                Translated::Failure(UpstreamFailure::NeedsInput)
            }
            codes::MISSING_CAPABILITY => Translated::AsIs,
            codes::URL_ELICITATION => Translated::Failure(UpstreamFailure::NeedsInput),
            codes::RESOURCE_NOT_FOUND if self.is_modern() => {
                Translated::Code(codes::INVALID_PARAMS)
            }
            // Reserved by the modern revision: undefined ones may not be sent.
            -32099..=-32020 if self.is_modern() => Translated::Code(codes::INTERNAL),
            _ => Translated::AsIs,
        }
    }
}
