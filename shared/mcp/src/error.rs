//! Errors: why a frame was refused, and the JSON-RPC errors that are sent and received.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::text;

/// Error codes on the wire.
pub mod codes {
    /// Not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// Not a JSON-RPC message.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Wrong parameters; also an unknown tool, resource or cursor.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Our own fault, or the server's.
    pub const INTERNAL: i64 = -32603;
    /// Modern: a header disagrees with the body.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// Modern: the work needs a capability that the request does not declare.
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// Modern: a protocol version that is not spoken.
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// Legacy: no such resource. Modern uses [`INVALID_PARAMS`].
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// Legacy (2025-11-25): visit a URL first. Passed on to legacy clients that can, never made by us.
    pub const URL_ELICITATION: i64 = -32042;

    /// Whether only a modern server says this: the sign that a 400 gives in an era probe.
    pub const fn is_modern(code: i64) -> bool {
        matches!(
            code,
            HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION
        )
    }
}

/// A frame that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {at})")]
pub struct FrameError {
    /// Why.
    pub reason: Reason,
    /// Offset of the byte at which it was noticed.
    pub at: usize,
    /// The id as written, where it had been read by then: the error has to carry it.
    pub id: Option<Box<str>>,
}

/// Why a frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Over a size limit.
    #[error("the message is too large")]
    TooLarge,
    /// Starts with a byte order mark.
    #[error("the message must not start with a byte order mark")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("the message is not valid JSON")]
    Syntax,
    /// Half a surrogate pair in a string.
    #[error("a string holds half of a surrogate pair")]
    LoneSurrogate,
    /// A number too long, or too large for any reader.
    #[error("a number is out of range")]
    Number,
    /// Something follows the message.
    #[error("one message only, nothing may follow it")]
    Trailing,
    /// Nested too deeply.
    #[error("the message is nested too deeply")]
    TooDeep,
    /// Too many members.
    #[error("an object has too many members")]
    TooManyMembers,
    /// An array: a batch.
    #[error("batches are not accepted, send one message at a time")]
    Batch,
    /// Neither object nor array.
    #[error("the message must be a JSON object")]
    NotAnObject,
    /// A member written twice.
    #[error("a member is written twice")]
    Duplicate,
    /// A member that readers who ignore case take for another one.
    #[error("a member's name differs from a known one only in case")]
    LookAlike,
    /// `jsonrpc` is not `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    Version,
    /// `id` is neither string nor integer.
    #[error("`id` must be a string or an integer")]
    Id,
    /// `method` is not a string.
    #[error("`method` must be a string")]
    Method,
    /// `params` or `_meta` is not an object.
    #[error("`params` and `_meta` must be objects")]
    Params,
    /// Neither request, notification nor response, or several of them.
    #[error("the message is neither a request, a notification nor a response")]
    Shape,
}

impl Reason {
    /// The JSON-RPC code that tells it.
    pub const fn code(self) -> i64 {
        match self {
            Self::TooLarge
            | Self::Batch
            | Self::NotAnObject
            | Self::Duplicate
            | Self::LookAlike
            | Self::TooManyMembers
            | Self::Version
            | Self::Id
            | Self::Method
            | Self::Params
            | Self::Shape => codes::INVALID_REQUEST,
            Self::ByteOrderMark
            | Self::NotUtf8
            | Self::Syntax
            | Self::LoneSurrogate
            | Self::Number
            | Self::Trailing
            | Self::TooDeep => codes::PARSE_ERROR,
        }
    }
}

impl FrameError {
    /// The answer to whoever sent the frame.
    pub fn to_rpc(&self) -> RpcError {
        RpcError::new(self.reason.code(), self.to_string())
    }
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// See [`codes`].
    pub code: i64,
    /// In words, with what to do.
    pub message: Cow<'static, str>,
    /// More, for programs.
    pub data: Option<Value>,
}

impl RpcError {
    /// Without data.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            data: None,
        }
    }

    /// With data.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// No such method.
    pub fn method_not_found(method: &str) -> Self {
        let shown: String = method.chars().take(128).collect();
        Self::new(
            codes::METHOD_NOT_FOUND,
            format!("Method not found: {shown}"),
        )
    }

    /// Wrong parameters.
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INVALID_PARAMS, message)
    }

    /// No such resource, as the era of the client has it.
    pub fn resource_not_found(message: impl Into<Cow<'static, str>>, modern: bool) -> Self {
        let code = if modern {
            codes::INVALID_PARAMS
        } else {
            codes::RESOURCE_NOT_FOUND
        };
        Self::new(code, message)
    }

    /// Not a message that can be served.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INVALID_REQUEST, message)
    }

    /// Our own fault, or the server's.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INTERNAL, message)
    }

    /// A header disagrees with the body.
    pub fn header_mismatch(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::HEADER_MISMATCH, message)
    }

    /// The request does not declare a capability that the work needs; `required` is shaped like ClientCapabilities.
    pub fn missing_capability(required: Value) -> Self {
        let message = "the request does not declare a client capability that this needs";
        Self::new(codes::MISSING_CAPABILITY, message)
            .with(json!({ "requiredCapabilities": required }))
    }

    /// A version that is not spoken.
    pub fn unsupported_version(requested: &str, supported: &[&str]) -> Self {
        let requested: String = requested.chars().take(64).collect();
        let data = json!({ "supported": supported, "requested": requested });
        Self::new(
            codes::UNSUPPORTED_VERSION,
            "this protocol version is not supported",
        )
        .with(data)
    }

    /// Reads the `error` member of an answer. Nothing if it is not shaped like one.
    pub fn read(error: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Shape {
            code: i64,
            message: String,
            data: Option<Value>,
        }
        let Shape {
            code,
            message,
            data,
        } = serde_json::from_slice(error).ok()?;
        let message = message.into();
        Some(Self {
            code,
            message,
            data,
        })
    }

    /// The `error` member alone.
    pub fn to_json(&self) -> String {
        let mut out = format!(
            "{{\"code\":{},\"message\":{}",
            self.code,
            text::quote(&self.message)
        );
        if let Some(data) = &self.data {
            out.push_str(",\"data\":");
            out.push_str(&data.to_string());
        }
        out.push('}');
        out
    }

    /// The whole answer to the request of this id (the literal as written); without one, the id could not be read.
    pub fn to_bytes(&self, id: Option<&str>) -> Bytes {
        let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
        let error = self.to_json();
        Bytes::from(format!("{{\"jsonrpc\":\"2.0\",{id}\"error\":{error}}}"))
    }
}

#[cfg(test)]
mod tests;
