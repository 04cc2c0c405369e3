//! What a server may ask of a client, and how the question is put to it.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;
use toolgate_mcp::{FrameLimits, hidden_characters, message, object, text::quote};
use toolgate_model::Slug;
use url::Url;

use crate::session::session_id::ClientCapabilities;

/// Bytes of what is asked at once, all of it together. It is kept until somebody answers. More is no question to a
/// person or a model.
pub const LARGEST: usize = 256 * 1024;

const ELICIT: &str = "elicitation/create";
const SAMPLE: &str = "sampling/createMessage";
const ROOTS: &str = "roots/list";

/// Kinds of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fill in a form.
    Form,
    /// Visit a URL.
    Url,
    /// Ask the model.
    Sampling,
    /// Ask the model, which may use the server's tools.
    SamplingWithTools,
    /// Name the roots.
    Roots,
}

/// One question of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    kind: Kind,
    /// An object, as the server wrote it.
    params: Bytes,
}

/// Our name for a question, unique in the deployment. As a JSON-RPC id it is the string `<proxy>:<hex>`, so that any
/// proxy can tell where an answer belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId {
    /// The proxy that asks.
    pub proxy: Slug,
    /// What makes it unique; nobody can guess it.
    pub random: [u8; 16],
}

impl Kind {
    /// What a client has to declare for it.
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

    /// As on the wire.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Form | Self::Url => ELICIT,
            Self::Sampling | Self::SamplingWithTools => SAMPLE,
            Self::Roots => ROOTS,
        }
    }
}

impl Question {
    /// A request of this method with these parameters, an object that has been read; none if it is nothing that a
    /// client can be asked.
    pub fn read(method: &str, params: Option<&[u8]>) -> Option<Self> {
        let params = params.unwrap_or(b"{}");
        if !readable(params) {
            return None;
        }
        let has = |name: &str| object::get(params, name).is_some();
        let kind = match method {
            ELICIT => elicitation(params)?,
            SAMPLE if has("tools") || has("toolChoice") => Kind::SamplingWithTools,
            SAMPLE => Kind::Sampling,
            ROOTS => Kind::Roots,
            _ => return None,
        };
        let leads = kind != Kind::Url || site(params).is_some();
        (leads && params.len() <= LARGEST).then(|| Self {
            kind,
            params: Bytes::copy_from_slice(params),
        })
    }

    /// The members of `inputRequests`, an object: key and question, in order. None if one is nothing that a client can
    /// be asked, or if there are too many.
    pub fn read_all(requests: &[u8]) -> Option<Vec<(Box<str>, Self)>> {
        let members = object::members(requests);
        if members.len() > super::OPEN || requests.len() > LARGEST || !readable(requests) {
            return None;
        }
        let question = |request: object::ObjectMember<'_>| {
            let method: Cow<'_, str> = {
                let written = object::get(request.value, "method")?;
                serde_json::from_slice(written).ok()?
            };
            let params = object::get(request.value, "params");
            Some((request.name.into(), Self::read(&method, params)?))
        };
        members.map(question).collect()
    }

    /// Whether this would be a question if it were shorter.
    pub(crate) fn is_too_large(method: &str, params: Option<&[u8]>) -> bool {
        let asks = [ELICIT, SAMPLE, ROOTS].contains(&method);
        asks && params.is_some_and(|params| params.len() > LARGEST)
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        self.params.len()
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// As a request to a legacy client under our `id`, naming the server that asks.
    pub fn to_request(&self, id: &QuestionId, server: &Slug) -> Bytes {
        let own = quote(&id.name());
        let mut params = self.named(server);
        // Legacy clients tell such elicitations apart by an id, which modern servers no longer give.
        if self.kind == Kind::Url && object::get(&params, "elicitationId").is_none() {
            let all = |_: &str| true;
            params = object::rebuild(&params, all, &[("elicitationId", own.as_bytes())]);
        }
        let params = String::from_utf8_lossy(&params);
        message::request(&own, self.kind.method(), Some(&params))
    }

    /// As a member of `inputRequests`, naming the server that asks. Other members of `written` stay.
    pub fn to_input(&self, server: &Slug, written: &[u8]) -> Vec<u8> {
        let mut params = self.named(server);
        if self.kind == Kind::Url {
            params = object::rebuild(&params, |name| name != "elicitationId", &[]);
        }
        let method = quote(self.kind.method());
        let ours: [(&str, &[u8]); 2] = [("method", method.as_bytes()), ("params", &params)];
        object::rebuild(written, |_| true, &ours)
    }

    /// As one of the elicitations of an error, naming the server that asks.
    pub(crate) fn to_elicitation(&self, server: &Slug) -> Value {
        serde_json::from_slice(&self.named(server)).unwrap_or_default()
    }

    /// Where it leads, in words, naming the server that asks.
    pub(crate) fn to_line(&self, server: &Slug) -> Option<String> {
        let text = |name: &str| {
            let written = object::get(&self.params, name)?;
            serde_json::from_slice::<String>(written).ok()
        };
        let message = text("message").unwrap_or_default();
        Some(format!("[{server}] {message}: {}", text("url")?))
    }

    /// The parameters. People see who really asks: their program knows the gateway only. What is between the server and
    /// us stays here.
    fn named(&self, server: &Slug) -> Vec<u8> {
        let meta = object::get(&self.params, "_meta")
            .map(|meta| object::rebuild(meta, message::is_forwarded_meta, &[]));
        let text = || {
            let written = object::get(&self.params, "message");
            let text = written.and_then(|text| serde_json::from_slice::<String>(text).ok());
            text.unwrap_or_default()
        };
        let message = match self.kind {
            // Where it leads, whatever the text says, and ahead of it: what turns the direction of reading comes too late.
            Kind::Url => {
                let site = site(&self.params).unwrap_or_default();
                Some(quote(&format!("[{server}] ({site}) {}", text())))
            }
            Kind::Form => Some(quote(&format!("[{server}] {}", text()))),
            Kind::Sampling | Kind::SamplingWithTools | Kind::Roots => None,
        };
        let mut changed: Vec<(&str, &[u8])> = Vec::with_capacity(2);
        if let Some(message) = &message {
            changed.push(("message", message.as_bytes()));
        }
        if let Some(meta) = &meta {
            changed.push(("_meta", meta));
        }
        object::rebuild(&self.params, |_| true, &changed)
    }
}

/// Whether a person is to fill in a form or to visit a URL. A mode of another name is none that we could answer for, and
/// a form that leads somewhere, or that says nothing to anybody, is no form.
fn elicitation(params: &[u8]) -> Option<Kind> {
    let texts = |name: &str| match object::get(params, name) {
        None => Some(None),
        Some(written) => serde_json::from_slice::<String>(written).ok().map(Some),
    };
    texts("message")?;
    match texts("mode")?.as_deref() {
        None | Some("form") if object::get(params, "url").is_none() => Some(Kind::Form),
        Some("url") => Some(Kind::Url),
        None | Some(_) => None,
    }
}

/// Where the URL of a question leads: its host. None if people should not be sent there at all: only the web is for
/// them, and a name before the host is there to deceive.
fn site(params: &[u8]) -> Option<String> {
    let text: String = serde_json::from_slice(object::get(params, "url")?).ok()?;
    let clean =
        !text.contains(|c: char| hidden_characters::is_hidden(c) || c.is_whitespace() || c == '\\');
    let url = Url::parse(&text).ok().filter(|_| clean)?;
    let named = !url.username().is_empty() || url.password().is_some();
    let web = matches!(url.scheme(), "https" | "http") && !named;
    url.host_str().filter(|_| web).map(str::to_owned)
}

/// Whether an object can be looked into: with a member written twice, others may see another one than we do.
fn readable(object: &[u8]) -> bool {
    let empty = object
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .count()
        == 2;
    empty || object::members(object).len() > 0
}

impl QuestionId {
    /// The value of the JSON-RPC id.
    pub fn name(&self) -> String {
        let Self { proxy, random } = self;
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{proxy}:{hex}")
    }

    /// From the literal of a JSON-RPC id; none if it is not one of ours.
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
        // Another spelling of a name is not that name.
        (id.name() == *name).then_some(id)
    }
}

/// What a client said to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Result(Bytes),
    Error(Bytes),
}

impl Said {
    /// From a response of a client, which has been read when it came.
    pub(super) fn read(frame: &Bytes) -> Option<Self> {
        let envelope = toolgate_mcp::envelope::parse(frame, &FrameLimits::REQUEST).ok()?;
        match (envelope.result, envelope.error) {
            (Some(result), None) => Some(Self::Result(result.slice_bytes(frame))),
            (None, Some(error)) => Some(Self::Error(error.slice_bytes(frame))),
            (_, _) => None,
        }
    }

    /// As the answer to a legacy server's request.
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
