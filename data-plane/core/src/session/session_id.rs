//! Ids of legacy sessions. An id is the encrypted state that any proxy needs to serve the session, so no table of sessions is
//! shared: a proxy holds only what it was asked to keep of a session, such as its open streams or its termination. An id is
//! valid for [`LIFETIME`].

use std::{borrow::Cow, time::Duration};

use toolgate_mcp::{apps, object, versions};
use toolgate_model::Timestamp;

use crate::{
    Caller, ClientStateCipher, OwningProxy,
    client_state::{NONCE_LEN, StateContext, StatePurpose, task::EXTENSION},
};

/// Number of random bytes in an id.
pub const RANDOM_LEN: usize = 16;

/// Lifetime of an id. After it the client has to open a new session, which clients must support anyway.
pub const LIFETIME: Duration = Duration::from_secs(48 * 60 * 60);

/// Capabilities declared by a client, as a bit set that keeps the id short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientCapabilities(u8);

/// Contents of a session id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionClaims {
    /// Negotiated protocol version, one of [`versions::LEGACY`].
    pub version: &'static str,
    /// Capabilities that the client declared.
    pub capabilities: ClientCapabilities,
    /// Time at which the session was opened.
    pub issued: Timestamp,
    /// Unique part of the id; also identifies the session in policies and maps.
    pub random: [u8; RANDOM_LEN],
    /// Proxy that opened the session.
    pub owner: OwningProxy,
    /// Caller that opened the session.
    pub opener: SessionOpener,
}

/// Caller that opened a session, as far as access to it depends on the caller: its proof and its tools, shortened.
/// Unknown in ids of builds that did not record it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionOpener {
    authn: [u8; OPENER_PART_LEN],
    tools: [u8; OPENER_PART_LEN],
}

const OPENER_PART_LEN: usize = 8;

impl SessionClaims {
    /// Returns `true` if the id is still valid.
    pub fn is_current(&self, now: Timestamp) -> bool {
        now.since(self.issued) <= LIFETIME
    }
}

impl SessionOpener {
    /// Returns the opener of a session that `caller` opens.
    pub fn of(caller: &Caller) -> Self {
        Self {
            authn: shortened(&caller.authn().id.0),
            tools: shortened(&caller.grant().list_digest().0),
        }
    }

    /// Returns `true` if `caller`, of the same principal, may use and end the session: it has opened it, it may see and
    /// call the same tools, or its tools are not restricted. A session conveys results, questions and notifications of
    /// all tools of its opener.
    pub fn admits(self, caller: &Caller) -> bool {
        let Self { authn, tools } = Self::of(caller);
        caller.grant().is_unfiltered() || self.authn == authn || self.tools == tools
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (authn, rest) = bytes.split_first_chunk()?;
        let (tools, _later) = rest.split_first_chunk()?;
        Some(Self {
            authn: *authn,
            tools: *tools,
        })
    }
}

fn shortened(digest: &[u8; 32]) -> [u8; OPENER_PART_LEN] {
    let mut part = [0; OPENER_PART_LEN];
    part.copy_from_slice(&digest[..OPENER_PART_LEN]);
    part
}

impl ClientCapabilities {
    /// Elicitation by form.
    pub const ELICITATION: Self = Self(1);
    /// Elicitation by URL.
    pub const ELICITATION_URL: Self = Self(2);
    /// Sampling.
    pub const SAMPLING: Self = Self(4);
    /// Roots.
    pub const ROOTS: Self = Self(8);
    /// Sampling with tools.
    pub const SAMPLING_TOOLS: Self = Self(16);
    /// Tasks extension. Used for modern clients only.
    pub const TASKS: Self = Self(32);
    /// MCP Apps extension with the only known page type.
    pub const APPS: Self = Self(64);
    /// All known capabilities.
    pub const ALL: Self = Self(127);
    /// Capabilities that a server may use during a call.
    pub const SERVER_REQUESTS: Self = Self(31);

    /// Reads a ClientCapabilities object, JSON. Unknown capabilities are not relayed and therefore dropped.
    pub fn read(object: &[u8]) -> Self {
        let mut declared = Self::default();
        for member in object::members(object) {
            declared = declared.union(match &*member.name {
                "elicitation" => {
                    let mut modes = object::members(member.value).peekable();
                    // An object without modes predates them and means the form mode.
                    let form =
                        modes.peek().is_none() || modes.clone().any(|mode| mode.name == "form");
                    let form = if form {
                        Self::ELICITATION
                    } else {
                        Self::default()
                    };
                    let url = modes.any(|mode| mode.name == "url");
                    form.union(if url {
                        Self::ELICITATION_URL
                    } else {
                        Self::default()
                    })
                }
                "sampling" if object::get(member.value, "tools").is_some() => {
                    Self::SAMPLING.union(Self::SAMPLING_TOOLS)
                }
                "sampling" => Self::SAMPLING,
                "roots" => Self::ROOTS,
                "extensions" => Self::extensions(member.value),
                _ => Self::default(),
            });
        }
        declared
    }

    fn extensions(object: &[u8]) -> Self {
        let tasks = object::get(object, EXTENSION).is_some();
        let apps = object::get(object, apps::EXTENSION).is_some_and(supports_app_pages);
        let some = |declared, extension| if declared { extension } else { Self::default() };
        some(tasks, Self::TASKS).union(some(apps, Self::APPS))
    }

    /// Union of two sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Intersection of two sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns `true` if the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Encodes the set as a ClientCapabilities object, JSON.
    pub fn to_json(self) -> String {
        let elicitation = match (
            self.contains(Self::ELICITATION),
            self.contains(Self::ELICITATION_URL),
        ) {
            (true, true) => Some("\"elicitation\":{\"form\":{},\"url\":{}}"),
            (true, false) => Some("\"elicitation\":{}"),
            (false, true) => Some("\"elicitation\":{\"url\":{}}"),
            (false, false) => None,
        };
        let sampling = match (
            self.contains(Self::SAMPLING),
            self.contains(Self::SAMPLING_TOOLS),
        ) {
            (true, true) => Some("\"sampling\":{\"tools\":{}}"),
            (true, false) => Some("\"sampling\":{}"),
            (false, _) => None,
        };
        let roots = self.contains(Self::ROOTS).then_some("\"roots\":{}");
        let extensions = match (self.contains(Self::TASKS), self.contains(Self::APPS)) {
            (true, true) => Some(TASKS_AND_APPS_EXTENSIONS),
            (true, false) => Some("\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}"),
            (false, true) => Some(APPS_EXTENSION),
            (false, false) => None,
        };
        let members: Vec<&str> = [elicitation, sampling, roots, extensions]
            .into_iter()
            .flatten()
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// Returns `true` if the set contains all of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Bits as stored in an id.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

const APPS_EXTENSION: &str = "\"extensions\":{\"io.modelcontextprotocol/ui\":{\"mimeTypes\":[\"text/html;profile=mcp-app\"]}}";

const TASKS_AND_APPS_EXTENSIONS: &str = "\"extensions\":{\"io.modelcontextprotocol/tasks\":{},\"io.modelcontextprotocol/ui\":{\"mimeTypes\":[\"text/html;profile=mcp-app\"]}}";

/// Returns `true` if the settings of the MCP Apps extension list the known page type. Other settings are ignored.
fn supports_app_pages(settings: &[u8]) -> bool {
    let types = object::get(settings, "mimeTypes").unwrap_or_default();
    let types: Vec<Cow<'_, str>> = serde_json::from_slice(types).unwrap_or_default();
    types.iter().any(|known| known == apps::PAGE_MIME_TYPE)
}

const FORMAT: u8 = 2;

/// Encrypts an id: visible ASCII of at most [`crate::client_state::TEXT_LIMIT`] characters.
pub fn mint(
    cipher: &ClientStateCipher,
    context: StateContext<'_>,
    claims: &SessionClaims,
    nonce: &[u8; NONCE_LEN],
) -> String {
    let version = versions::LEGACY
        .iter()
        .position(|known| *known == claims.version);
    let version = version
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or_default();
    let mut plain = Vec::with_capacity(3 + 8 + RANDOM_LEN + 64);
    plain.extend_from_slice(&[FORMAT, version, claims.capabilities.0]);
    plain.extend_from_slice(&claims.issued.0.to_be_bytes());
    plain.extend_from_slice(&claims.random);
    claims.owner.write(&mut plain);
    // Builds that do not know the opener ignore what follows the owner.
    plain.extend_from_slice(&claims.opener.authn);
    plain.extend_from_slice(&claims.opener.tools);
    cipher.encrypt(StatePurpose::Session, context, nonce, &plain)
}

/// Opens an id encrypted for this gateway and principal within the last [`LIFETIME`].
pub fn decrypt(
    cipher: &ClientStateCipher,
    context: StateContext<'_>,
    text: &str,
    now: Timestamp,
) -> Option<SessionClaims> {
    let plain = cipher.decrypt(StatePurpose::Session, context, text)?;
    let (&[format, version, capabilities], rest) = plain.split_first_chunk()?;
    let (issued, rest) = rest.split_first_chunk()?;
    let (random, rest) = rest.split_first_chunk()?;
    let (owner, rest) = OwningProxy::read(rest)?;
    if format != FORMAT {
        return None;
    }
    let claims = SessionClaims {
        version: versions::LEGACY.get(usize::from(version)).copied()?,
        capabilities: ClientCapabilities(capabilities),
        issued: Timestamp(u64::from_be_bytes(*issued)),
        random: *random,
        owner,
        opener: SessionOpener::read(rest).unwrap_or_default(),
    };
    claims.is_current(now).then_some(claims)
}

#[cfg(test)]
mod tests;
