//! A request of a server to a client (form, URL, sampling, roots), as it is put to clients of both eras.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;
use toolgate_mcp::{
    FrameLimits, case_variants, deceptive_text, message,
    method::{ELICITATION, ROOTS, SAMPLING},
    object, protocol_members,
    text::quote,
};
use toolgate_model::Slug;
use url::Url;

use super::secret_fields;
use crate::session::session_id::ClientCapabilities;

/// Maximum size in bytes of an elicitation, or of all elicitations of one round together. They are held until the
/// client answers.
pub const MAX_SIZE: usize = 256 * 1024;

/// Kind of an elicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElicitationKind {
    /// A form to fill in.
    Form,
    /// A URL to visit.
    Url,
    /// A request to the model of the client.
    Sampling,
    /// A request to the model of the client, which may use tools of the server.
    SamplingWithTools,
    /// A request for the roots of the client.
    Roots,
}

/// A request of a server to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elicitation {
    kind: ElicitationKind,
    /// JSON object, as the server wrote it.
    params: Bytes,
}

/// Id of an elicitation, unique in the deployment. As a JSON-RPC id it is the string `<proxy>:<hex>`, so that any proxy
/// can tell which proxy waits for the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElicitationId {
    /// Proxy that waits for the answer.
    pub proxy: Slug,
    /// Unguessable part that makes the id unique.
    pub random: [u8; 16],
}

impl ElicitationKind {
    /// Returns the capabilities that a client has to declare.
    pub const fn needs(self) -> ClientCapabilities {
        match self {
            Self::Form => ClientCapabilities::ELICITATION,
            Self::Url => ClientCapabilities::ELICITATION_URL,
            Self::Sampling => ClientCapabilities::SAMPLING,
            Self::SamplingWithTools => {
                ClientCapabilities::SAMPLING.union(ClientCapabilities::SAMPLING_TOOLS)
            }
            Self::Roots => ClientCapabilities::ROOTS,
        }
    }

    /// Returns the JSON-RPC method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Form | Self::Url => ELICITATION,
            Self::Sampling | Self::SamplingWithTools => SAMPLING,
            Self::Roots => ROOTS,
        }
    }
}

impl Elicitation {
    /// Reads a request of this method. `params` is an object that was parsed before. Returns `None` if it is not a
    /// request that a client can be sent, or if some clients would take members of it for others.
    pub fn read(method: &str, params: Option<&[u8]>) -> Option<Self> {
        let params = params.unwrap_or(b"{}");
        let object = protocol_members::of_params(method)?;
        if !readable(params) || case_variants::contained_in(params, object) {
            return None;
        }
        let has = |name: &str| object::get(params, name).is_some();
        let kind = match method {
            ELICITATION => elicitation(params)?,
            SAMPLING if has("tools") || has("toolChoice") => ElicitationKind::SamplingWithTools,
            SAMPLING => ElicitationKind::Sampling,
            ROOTS => ElicitationKind::Roots,
            _ => return None,
        };
        let leads = kind != ElicitationKind::Url || site(params).is_some();
        (leads && params.len() <= MAX_SIZE).then(|| Self {
            kind,
            params: Bytes::copy_from_slice(params),
        })
    }

    /// Reads the members of the object `inputRequests`: key and elicitation, in order. Returns `None` if one of them
    /// cannot be sent to a client, or if there are too many.
    pub fn read_all(requests: &[u8]) -> Option<Vec<(Box<str>, Self)>> {
        let members = object::members(requests);
        if members.len() > super::MAX_PENDING || requests.len() > MAX_SIZE || !readable(requests) {
            return None;
        }
        let elicitation = |request: object::ObjectMember<'_>| {
            if case_variants::contained_in(request.value, &protocol_members::INPUT_REQUEST) {
                return None;
            }
            let method: Cow<'_, str> = {
                let written = object::get(request.value, "method")?;
                serde_json::from_slice(written).ok()?
            };
            let params = object::get(request.value, "params");
            Some((request.name.into(), Self::read(&method, params)?))
        };
        members.map(elicitation).collect()
    }

    /// Reports if only the size keeps this request from being an elicitation.
    pub(crate) fn is_too_large(method: &str, params: Option<&[u8]>) -> bool {
        let requests_input = [ELICITATION, SAMPLING, ROOTS].contains(&method);
        requests_input && params.is_some_and(|params| params.len() > MAX_SIZE)
    }

    /// Returns the size of the parameters in bytes.
    pub(crate) fn size(&self) -> usize {
        self.params.len()
    }

    /// Returns the kind.
    pub fn kind(&self) -> ElicitationKind {
        self.kind
    }

    /// Builds the request to a legacy client under `id`. Its message names the server.
    pub fn to_request(&self, id: &ElicitationId, server: &Slug) -> Bytes {
        let own = quote(&id.name());
        let mut params = self.named(server);
        // Legacy clients tell URL elicitations apart by an id, which modern servers do not send.
        if self.kind == ElicitationKind::Url && object::get(&params, "elicitationId").is_none() {
            let all = |_: &str| true;
            params = object::rebuild(&params, all, &[("elicitationId", own.as_bytes())]);
        }
        let params = String::from_utf8_lossy(&params);
        message::request(&own, self.kind.method(), Some(&params))
    }

    /// Builds the member of `inputRequests`. Its message names the server. Other members of `written` are kept.
    pub fn to_input(&self, server: &Slug, written: &[u8]) -> Vec<u8> {
        let mut params = self.named(server);
        if self.kind == ElicitationKind::Url {
            params = object::rebuild(&params, |name| name != "elicitationId", &[]);
        }
        let method = quote(self.kind.method());
        let members: [(&str, &[u8]); 2] = [("method", method.as_bytes()), ("params", &params)];
        object::rebuild(written, |_| true, &members)
    }

    /// Builds the member of `elicitations` of an error. Its message names the server.
    pub(crate) fn to_elicitation(&self, server: &Slug) -> Value {
        serde_json::from_slice(&self.named(server)).unwrap_or_default()
    }

    /// Describes the URL in one line of text that names the server.
    pub(crate) fn to_line(&self, server: &Slug) -> Option<String> {
        let text = |name: &str| {
            let written = object::get(&self.params, name)?;
            serde_json::from_slice::<String>(written).ok()
        };
        let message = text("message").unwrap_or_default();
        let message = deceptive_text::quoted(&message);
        Some(format!("[{server}] {message}: {}", text("url")?))
    }

    /// Returns the parameters with the id of the server ahead of the message: the client knows only the gateway, and
    /// its user has to see which server asks. Texts are quoted. Members of `_meta` that concern one hop are removed.
    fn named(&self, server: &Slug) -> Vec<u8> {
        let meta = object::get(&self.params, "_meta")
            .map(|meta| object::rebuild(meta, message::is_forwarded_meta, &[]));
        let text = || {
            let written = object::get(&self.params, "message");
            let text = written.and_then(|text| serde_json::from_slice::<String>(text).ok());
            deceptive_text::quoted(&text.unwrap_or_default())
        };
        let message = match self.kind {
            // The host stands ahead of the text of the server, which could otherwise push it out of sight.
            ElicitationKind::Url => {
                let site = site(&self.params).unwrap_or_default();
                Some(quote(&format!("[{server}] ({site}) {}", text())))
            }
            ElicitationKind::Form => {
                let warning = secret_fields::warning(&self.params);
                let warning = warning.map_or_else(String::new, |warning| warning + " ");
                Some(quote(&format!("[{server}] {warning}{}", text())))
            }
            ElicitationKind::Sampling
            | ElicitationKind::SamplingWithTools
            | ElicitationKind::Roots => None,
        };
        let params = match self.kind {
            ElicitationKind::Form | ElicitationKind::Url => {
                deceptive_text::escaped_display_members(&self.params, &[])
            }
            ElicitationKind::Sampling
            | ElicitationKind::SamplingWithTools
            | ElicitationKind::Roots => Cow::Borrowed(&self.params[..]),
        };
        let mut changed: Vec<(&str, &[u8])> = Vec::with_capacity(2);
        if let Some(message) = &message {
            changed.push(("message", message.as_bytes()));
        }
        if let Some(meta) = &meta {
            changed.push(("_meta", meta));
        }
        object::rebuild(&params, |_| true, &changed)
    }
}

/// Returns the kind of an `elicitation/create`. Unknown modes are rejected, as are forms with a URL, messages that are not
/// text, and texts that could not be escaped.
fn elicitation(params: &[u8]) -> Option<ElicitationKind> {
    if !deceptive_text::is_displayable(params) {
        return None;
    }
    let texts = |name: &str| match object::get(params, name) {
        None => Some(None),
        Some(written) => serde_json::from_slice::<String>(written).ok().map(Some),
    };
    texts("message")?;
    match texts("mode")?.as_deref() {
        None | Some("form") if object::get(params, "url").is_none() => Some(ElicitationKind::Form),
        Some("url") => Some(ElicitationKind::Url),
        None | Some(_) => None,
    }
}

/// Returns the host of the URL. Returns `None` for URLs that users must not be sent to: other schemes than HTTP, hidden
/// characters, and user names ahead of the host, which deceive.
fn site(params: &[u8]) -> Option<String> {
    let text: String = serde_json::from_slice(object::get(params, "url")?).ok()?;
    let clean = !deceptive_text::contained_in_name(&text)
        && !text.contains(|c: char| c.is_whitespace() || c == '\\');
    let url = Url::parse(&text).ok().filter(|_| clean)?;
    let named = !url.username().is_empty() || url.password().is_some();
    let web = matches!(url.scheme(), "https" | "http") && !named;
    url.host_str().filter(|_| web).map(str::to_owned)
}

/// Reports if the members of an object are unambiguous: of a member that is written twice, another reader may see the
/// other value.
fn readable(object: &[u8]) -> bool {
    let empty = object
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .count()
        == 2;
    empty || object::members(object).len() > 0
}

impl ElicitationId {
    /// Returns the value of the JSON-RPC id.
    pub fn name(&self) -> String {
        let Self { proxy, random } = self;
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{proxy}:{hex}")
    }

    /// Parses the literal of a JSON-RPC id. Returns `None` if it is not an id of the gateway.
    pub fn parse(literal: &str) -> Option<Self> {
        let name: Cow<'_, str> = serde_json::from_str(literal).ok()?;
        let (proxy, hex) = name.rsplit_once(':')?;
        let mut random = [0; 16];
        if hex.len() != 2 * random.len() || !hex.is_ascii() {
            return None;
        }
        for (byte, at) in random.iter_mut().zip((0..hex.len()).step_by(2)) {
            *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
        }
        let proxy = proxy.parse().ok()?;
        let id = Self { proxy, random };
        // Only the canonical spelling is valid.
        (id.name() == *name).then_some(id)
    }
}

/// Response of a client to an elicitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ElicitationResponse {
    Result(Bytes),
    Error(Bytes),
}

impl ElicitationResponse {
    /// Reads the frame of a response.
    pub(super) fn read(frame: &Bytes) -> Option<Self> {
        let envelope = toolgate_mcp::envelope::parse(frame, &FrameLimits::REQUEST).ok()?;
        match (envelope.result, envelope.error) {
            (Some(result), None) => Some(Self::Result(result.slice_bytes(frame))),
            (None, Some(error)) => Some(Self::Error(error.slice_bytes(frame))),
            (_, _) => None,
        }
    }

    /// Builds the response to the request of a legacy server.
    pub(super) fn to_response(&self, id: &str) -> Bytes {
        let (name, value) = match self {
            Self::Result(value) => ("result", value),
            Self::Error(value) => ("error", value),
        };
        let mut out = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"{name}\":").into_bytes();
        out.extend_from_slice(value);
        out.push(b'}');
        Bytes::from(out)
    }
}
