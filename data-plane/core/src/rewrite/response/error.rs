//! Conversion of JSON-RPC errors between the eras.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};
use toolgate_mcp::{
    ByteSpan, RpcError, ServerMessage, deceptive_text,
    error::{DATA_REFUSAL, codes},
};

use crate::{
    plan::RequestTarget, refusal::UpstreamFailure, rewrite::segmented_splice::segmented_splice,
    segmented_bytes::SegmentedBytes, session::session_id::ClientCapabilities,
};

use super::{CallOutcome, ClientResponse, ResponseRelay, failure_response};

/// Translation of a server's error.
enum ErrorTranslation {
    /// Passed on unchanged.
    AsIs,
    /// Passed on with another code.
    Code(i64),
    /// Concerns only the hop between server and gateway; reported as an upstream failure.
    Failure(UpstreamFailure),
}

impl ResponseRelay {
    pub(super) fn error_response(
        &self,
        source: &Bytes,
        answer: &ServerMessage<'_>,
        error: ByteSpan,
    ) -> ClientResponse {
        let fail = |failure| failure_response(&self.call, failure);
        let Some(mut read) = RpcError::parse(answer.slice(error)) else {
            return fail(UpstreamFailure::Malformed);
        };
        let deceives = deceptive_text::contained_in(&read.message);
        if deceives {
            read.message = Cow::Owned(deceptive_text::escaped(&read.message).into_owned());
        }
        if read.code == codes::URL_ELICITATION {
            return self.urls_as_error(&read);
        }
        let status = if read.code == codes::MISSING_CAPABILITY {
            400
        } else {
            200
        };
        let translated = self.translate(&read);
        let data = match self.exposed_data(&read) {
            Some(data) => without_refusal(&data).or(Some(data)),
            None => read.data.as_ref().and_then(without_refusal),
        };
        let body = match (translated, data) {
            (ErrorTranslation::Failure(failure), _) => return fail(failure),
            (ErrorTranslation::AsIs, None) if !deceives => {
                segmented_splice(source, vec![answer.with_id(&self.call.id)])
            }
            (translated, data) => {
                let code = match translated {
                    ErrorTranslation::Code(code) => code,
                    ErrorTranslation::AsIs | ErrorTranslation::Failure(_) => read.code,
                };
                let data = data.or(read.data);
                let message = read.message;
                let error = RpcError {
                    code,
                    message,
                    data,
                };
                Ok(SegmentedBytes::from(error.to_bytes(Some(&self.call.id))))
            }
        };
        match body {
            Ok(body) => ClientResponse {
                body,
                status,
                outcome: CallOutcome::Error,
            },
            Err(_edit) => fail(UpstreamFailure::Malformed),
        }
    }

    /// Translation of error codes. Errors of one hop are not passed on to the next.
    fn translate(&self, error: &RpcError) -> ErrorTranslation {
        match error.code {
            codes::HEADER_MISMATCH | codes::UNSUPPORTED_VERSION => {
                ErrorTranslation::Failure(UpstreamFailure::Status)
            }
            // A legacy client cannot declare the missing capability.
            codes::MISSING_CAPABILITY if !self.is_modern() => {
                ErrorTranslation::Failure(UpstreamFailure::NeedsInput)
            }
            // The client declares the capability, but the server may not use it.
            codes::MISSING_CAPABILITY if self.is_capability_declared(error) => {
                ErrorTranslation::Failure(UpstreamFailure::NeedsInput)
            }
            codes::MISSING_CAPABILITY => ErrorTranslation::AsIs,
            codes::RESOURCE_NOT_FOUND if self.is_modern() => {
                ErrorTranslation::Code(codes::INVALID_PARAMS)
            }
            // Modern servers report a missing resource with this code.
            codes::INVALID_PARAMS
                if !self.is_modern() && self.is_resource_read() && uri_of(error).is_some() =>
            {
                ErrorTranslation::Code(codes::RESOURCE_NOT_FOUND)
            }
            // Range reserved by the modern revision: undefined codes must not be sent.
            -32099..=-32020 if self.is_modern() => ErrorTranslation::Code(codes::INTERNAL),
            _ => ErrorTranslation::AsIs,
        }
    }

    /// Returns `true` if the client declares all capabilities that the server misses.
    fn is_capability_declared(&self, error: &RpcError) -> bool {
        let required = error.data.as_ref();
        let required = required.and_then(|data| data.get("requiredCapabilities"));
        let required = required.map(Value::to_string).unwrap_or_default();
        let required = ClientCapabilities::read(required.as_bytes());
        !required.is_empty() && self.call.client.capabilities().contains(required)
    }

    fn is_resource_read(&self) -> bool {
        matches!(self.call.target, RequestTarget::Resource(_))
    }

    /// Returns `data` with the exposed URI, if it differs from the server's. The error for a missing resource always
    /// names the URI.
    fn exposed_data(&self, error: &RpcError) -> Option<Value> {
        let uri = match (uri_of(error), &self.call.target) {
            (Some(uri), _) if self.call.gateway.shows_prefixes() => self
                .call
                .gateway
                .exposed_uri(self.call.server(), uri)
                .into_owned(),
            (None, RequestTarget::Resource(resource))
                if error.code == codes::RESOURCE_NOT_FOUND =>
            {
                resource.exposed.to_string()
            }
            (Some(_) | None, _) => return None,
        };
        let mut data = error.data.clone().filter(Value::is_object);
        let data = data.get_or_insert_with(|| json!({}));
        data.as_object_mut()?.insert("uri".to_owned(), json!(uri));
        Some(data.take())
    }
}

/// Returns `data` without the mark of refusals of the gateway, which a server may not set; `None` if it has none.
fn without_refusal(data: &Value) -> Option<Value> {
    let mut members = data.as_object()?.clone();
    members.remove(DATA_REFUSAL)?;
    Some(Value::Object(members))
}

/// URI that the error refers to.
fn uri_of(error: &RpcError) -> Option<&str> {
    error.data.as_ref()?.get("uri")?.as_str()
}
