//! Errors of rejected frames, and JSON-RPC errors that are sent and received.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json, value::RawValue};

use crate::{limits::MAX_ID_LEN, text};

/// Member of `data` of an error that a Toolgate proxy created: the reason of the refusal, one word.
pub const DATA_REFUSAL: &str = "toolgate/refusal";

/// JSON-RPC error codes.
pub mod codes {
    /// The message is not valid JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The message is not a JSON-RPC message.
    pub const INVALID_REQUEST: i64 = -32600;
    /// The method does not exist.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters are invalid. Also used for an unknown tool, resource or cursor.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Internal error of the proxy or the server.
    pub const INTERNAL: i64 = -32603;
    /// Modern: a header disagrees with the body.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// Modern: a required client capability is not declared by the request.
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// Modern: the protocol version is not supported.
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// Legacy: the resource does not exist. Modern uses [`INVALID_PARAMS`].
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// Legacy (2025-11-25): the user has to visit a URL first. Forwarded to legacy clients that support it; never
    /// created by the proxy.
    pub const URL_ELICITATION: i64 = -32042;

    /// Returns `true` if only modern servers send this code. In an era probe, it shows that a 400 comes from a modern
    /// server.
    pub const fn is_modern(code: i64) -> bool {
        matches!(
            code,
            HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION
        )
    }
}

/// Error of a rejected frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {at})")]
pub struct FrameError {
    /// Kind of the error.
    pub reason: FrameErrorKind,
    /// Offset of the byte at which the error was detected.
    pub at: usize,
    /// Id as written, if it was read before the error. The error response has to carry it.
    pub id: Option<Box<str>>,
}

/// Reason why a frame is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameErrorKind {
    /// A size limit is exceeded.
    #[error("the message is too large")]
    TooLarge,
    /// The frame starts with a byte order mark.
    #[error("the message must not start with a byte order mark")]
    ByteOrderMark,
    /// The frame is not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// The frame is not valid JSON.
    #[error("the message is not valid JSON")]
    Syntax,
    /// A string contains an unpaired surrogate.
    #[error("a string holds half of a surrogate pair")]
    LoneSurrogate,
    /// A number is too long or too large to be represented.
    #[error("a number is out of range")]
    Number,
    /// Data follows the message.
    #[error("one message only, nothing may follow it")]
    Trailing,
    /// The nesting is too deep.
    #[error("the message is nested too deeply")]
    TooDeep,
    /// An object has too many members.
    #[error("an object has too many members")]
    TooManyMembers,
    /// The frame is an array, that is, a batch.
    #[error("batches are not accepted, send one message at a time")]
    Batch,
    /// The frame is neither an object nor an array.
    #[error("the message must be a JSON object")]
    NotAnObject,
    /// A member is duplicated.
    #[error("a member is written twice")]
    Duplicate,
    /// The name of a member differs from a known name only in case.
    #[error("a member's name differs from a known one only in case")]
    CaseVariant,
    /// `jsonrpc` is not `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    Version,
    /// `id` is neither a string nor an integer.
    #[error("`id` must be a string or an integer")]
    Id,
    /// `id` is longer than the limit.
    #[error("`id` must have at most {MAX_ID_LEN} bytes")]
    IdTooLong,
    /// `method` is not a string.
    #[error("`method` must be a string")]
    Method,
    /// `params` or `_meta` is not an object.
    #[error("`params` and `_meta` must be objects")]
    Params,
    /// The message is not exactly one of request, notification and response.
    #[error("the message is neither a request, a notification nor a response")]
    Shape,
}

impl FrameErrorKind {
    /// Returns the JSON-RPC error code.
    pub const fn code(self) -> i64 {
        match self {
            Self::TooLarge
            | Self::Batch
            | Self::NotAnObject
            | Self::Duplicate
            | Self::CaseVariant
            | Self::TooManyMembers
            | Self::Version
            | Self::Id
            | Self::IdTooLong
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
    /// Returns the JSON-RPC error to send to the peer.
    pub fn to_rpc(&self) -> RpcError {
        RpcError::new(self.reason.code(), self.to_string())
    }
}

/// JSON-RPC error object.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// Error code, see [`codes`].
    pub code: i64,
    /// Message for humans, with a remedy.
    pub message: Cow<'static, str>,
    /// Additional machine-readable data.
    pub data: Option<Value>,
}

impl RpcError {
    /// Creates an error without data.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            data: None,
        }
    }

    /// Sets the data.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Creates an error for an unknown method.
    pub fn method_not_found(method: &str) -> Self {
        let bounded: String = method.chars().take(128).collect();
        Self::new(
            codes::METHOD_NOT_FOUND,
            format!("Method not found: {bounded}"),
        )
    }

    /// Creates an error for invalid parameters.
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INVALID_PARAMS, message)
    }

    /// Creates an error for an unknown resource, with the code of the client's era.
    pub fn resource_not_found(message: impl Into<Cow<'static, str>>, modern: bool) -> Self {
        let code = if modern {
            codes::INVALID_PARAMS
        } else {
            codes::RESOURCE_NOT_FOUND
        };
        Self::new(code, message)
    }

    /// Creates an error for a message that cannot be served.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INVALID_REQUEST, message)
    }

    /// Creates an internal error of the proxy or the server.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INTERNAL, message)
    }

    /// Creates an error for a header that disagrees with the body.
    pub fn header_mismatch(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::HEADER_MISMATCH, message)
    }

    /// Creates an error for a client capability that the request does not declare. `required` has the shape of
    /// `ClientCapabilities`.
    pub fn missing_capability(required: Value) -> Self {
        let message = "the request does not declare a client capability that this needs";
        Self::new(codes::MISSING_CAPABILITY, message)
            .with(json!({ "requiredCapabilities": required }))
    }

    /// Creates an error for an unsupported protocol version.
    pub fn unsupported_version(requested: &str, supported: &[&str]) -> Self {
        let requested: String = requested.chars().take(64).collect();
        let data = json!({ "supported": supported, "requested": requested });
        Self::new(
            codes::UNSUPPORTED_VERSION,
            "this protocol version is not supported",
        )
        .with(data)
    }

    /// Parses the `error` member of a response. Returns `None` if it does not have the shape of a JSON-RPC error.
    pub fn parse(error: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct ErrorMembers {
            code: i64,
            message: String,
            data: Option<Box<RawValue>>,
        }
        let ErrorMembers {
            code,
            message,
            data,
        } = read(error)?;
        let message = message.into();
        // Data that is nested too deeply is left out alone.
        let data = data.and_then(|data| read(data.get().as_bytes()));
        Some(Self {
            code,
            message,
            data,
        })
    }

    /// Serializes the error object.
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

    /// Serializes the error response for the request `id` (the literal as written). `None` omits the id because it
    /// could not be read.
    pub fn to_bytes(&self, id: Option<&str>) -> Bytes {
        let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
        let error = self.to_json();
        Bytes::from(format!("{{\"jsonrpc\":\"2.0\",{id}\"error\":{error}}}"))
    }
}

/// Reads JSON that may hold halves of surrogate pairs.
fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json)
        .or_else(|_unreadable| serde_json::from_slice(&text::without_lone_surrogates(json)))
        .ok()
}

#[cfg(test)]
mod tests;
