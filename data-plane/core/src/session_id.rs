//! The id of a legacy session: what any proxy has to know to serve it, sealed. No proxy keeps a table of sessions; an
//! id opens for [`LIFE`] at most, wherever it is presented.

use std::{borrow::Cow, time::Duration};

use toolgate_mcp::{apps, object, versions};
use toolgate_model::Timestamp;

use crate::{
    Home, Sealer,
    seal::{Binding, NONCE, Purpose},
    task::EXTENSION,
};

/// Bytes of randomness in every id.
pub const RANDOM: usize = 16;

/// How long an id opens. Its client then opens another session, as it has to be able to anyway.
pub const LIFE: Duration = Duration::from_secs(48 * 60 * 60);

/// What a legacy client declared that it can do; bits, because an id has to be short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientCapabilities(u8);

/// What a session id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// The negotiated version, one of [`versions::LEGACY`].
    pub version: &'static str,
    /// What the client declared.
    pub capabilities: ClientCapabilities,
    /// When it was opened.
    pub issued: Timestamp,
    /// What makes it unique; also its name wherever sessions are kept apart.
    pub random: [u8; RANDOM],
    /// The proxy that opened it.
    pub home: Home,
}

impl SessionFacts {
    /// Whether its id still opens.
    pub fn is_current(&self, now: Timestamp) -> bool {
        now.since(self.issued) <= LIFE
    }
}

impl ClientCapabilities {
    /// The client takes elicitation by form.
    pub const ELICITATION: Self = Self(1);
    /// The client takes elicitation by URL.
    pub const ELICITATION_URL: Self = Self(2);
    /// The client samples.
    pub const SAMPLING: Self = Self(4);
    /// The client has roots.
    pub const ROOTS: Self = Self(8);
    /// The client samples with tools.
    pub const SAMPLING_TOOLS: Self = Self(16);
    /// The client follows tasks. Asked of modern clients only.
    pub const TASKS: Self = Self(32);
    /// The client shows pages of MCP Apps, of the one kind that there is.
    pub const APPS: Self = Self(64);
    /// All that is known here.
    pub const ALL: Self = Self(127);
    /// What a server may ask in the middle of a call.
    pub const QUESTIONS: Self = Self(31);

    /// From a ClientCapabilities object, JSON. What is not known here is not relayed, so it is not kept.
    pub fn read(object: &[u8]) -> Self {
        let mut declared = Self::default();
        for member in object::members(object) {
            declared = declared.and(match &*member.name {
                "elicitation" => {
                    let mut modes = object::members(member.value).peekable();
                    // Before there were modes there was the form.
                    let form =
                        modes.peek().is_none() || modes.clone().any(|mode| mode.name == "form");
                    let form = if form {
                        Self::ELICITATION
                    } else {
                        Self::default()
                    };
                    let url = modes.any(|mode| mode.name == "url");
                    form.and(if url {
                        Self::ELICITATION_URL
                    } else {
                        Self::default()
                    })
                }
                "sampling" if object::get(member.value, "tools").is_some() => {
                    Self::SAMPLING.and(Self::SAMPLING_TOOLS)
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
        let apps = object::get(object, apps::EXTENSION).is_some_and(shows_pages);
        let some = |declared, extension| if declared { extension } else { Self::default() };
        some(tasks, Self::TASKS).and(some(apps, Self::APPS))
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it is nothing at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a ClientCapabilities object, JSON.
    pub fn to_json(self) -> String {
        let elicitation = match (self.has(Self::ELICITATION), self.has(Self::ELICITATION_URL)) {
            (true, true) => Some("\"elicitation\":{\"form\":{},\"url\":{}}"),
            (true, false) => Some("\"elicitation\":{}"),
            (false, true) => Some("\"elicitation\":{\"url\":{}}"),
            (false, false) => None,
        };
        let sampling = match (self.has(Self::SAMPLING), self.has(Self::SAMPLING_TOOLS)) {
            (true, true) => Some("\"sampling\":{\"tools\":{}}"),
            (true, false) => Some("\"sampling\":{}"),
            (false, _) => None,
        };
        let roots = self.has(Self::ROOTS).then_some("\"roots\":{}");
        let extensions = match (self.has(Self::TASKS), self.has(Self::APPS)) {
            (true, true) => Some(BOTH),
            (true, false) => Some("\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}"),
            (false, true) => Some(PAGES),
            (false, false) => None,
        };
        let members: Vec<&str> = [elicitation, sampling, roots, extensions]
            .into_iter()
            .flatten()
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// As kept in an id.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

const PAGES: &str = "\"extensions\":{\"io.modelcontextprotocol/ui\":{\"mimeTypes\":[\"text/html;profile=mcp-app\"]}}";

const BOTH: &str = "\"extensions\":{\"io.modelcontextprotocol/tasks\":{},\"io.modelcontextprotocol/ui\":{\"mimeTypes\":[\"text/html;profile=mcp-app\"]}}";

/// Whether a host shows the pages that there are, by its settings. Whatever else they say is between no two parties that
/// we know of.
fn shows_pages(settings: &[u8]) -> bool {
    let types = object::get(settings, "mimeTypes").unwrap_or_default();
    let types: Vec<Cow<'_, str>> = serde_json::from_slice(types).unwrap_or_default();
    types.iter().any(|known| known == apps::PAGE)
}

const FORMAT: u8 = 2;

/// The text of an id, visible ASCII of at most [`crate::seal::TEXT_LIMIT`] characters.
pub fn mint(
    sealer: &Sealer,
    binding: Binding<'_>,
    facts: &SessionFacts,
    nonce: &[u8; NONCE],
) -> String {
    let version = versions::LEGACY
        .iter()
        .position(|known| *known == facts.version);
    let version = version
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or_default();
    let mut plain = Vec::with_capacity(3 + 8 + RANDOM + 64);
    plain.extend_from_slice(&[FORMAT, version, facts.capabilities.0]);
    plain.extend_from_slice(&facts.issued.0.to_be_bytes());
    plain.extend_from_slice(&facts.random);
    facts.home.write(&mut plain);
    sealer.seal(Purpose::Session, binding, nonce, &plain)
}

/// What an id says, if we sealed it for this gateway and principal, not longer ago than [`LIFE`].
pub fn open(
    sealer: &Sealer,
    binding: Binding<'_>,
    text: &str,
    now: Timestamp,
) -> Option<SessionFacts> {
    let plain = sealer.open(Purpose::Session, binding, text)?;
    let (&[format, version, capabilities], rest) = plain.split_first_chunk()?;
    let (issued, rest) = rest.split_first_chunk()?;
    let (random, rest) = rest.split_first_chunk()?;
    let (home, _later) = Home::read(rest)?;
    if format != FORMAT {
        return None;
    }
    let facts = SessionFacts {
        version: versions::LEGACY.get(usize::from(version)).copied()?,
        capabilities: ClientCapabilities(capabilities),
        issued: Timestamp(u64::from_be_bytes(*issued)),
        random: *random,
        home,
    };
    facts.is_current(now).then_some(facts)
}

#[cfg(test)]
mod tests;
