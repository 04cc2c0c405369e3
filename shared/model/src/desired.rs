//! What operators want. One struct a kind; every field holds a checked value.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Name, SealedBlob, Slug, Timestamp, TokenHash};

/// What every kind carries beside its own fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// For selection; never for decisions of ours.
    pub labels: BTreeMap<String, String>,
    /// When it was first written.
    pub created: Timestamp,
    /// When it was last written.
    pub updated: Timestamp,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its id.
    pub id: Slug,
    /// Beside its own fields.
    pub meta: Meta,
}

/// One MCP endpoint offered to clients. Its id is unique in the deployment: the path names no organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Owner and id.
    pub name: Name,
    /// Beside its own fields.
    pub meta: Meta,
    /// How tools are named.
    pub prefix: PrefixMode,
    /// What of them clients are shown at once.
    pub listing: Listing,
    /// Which tools are in it, in the order in which they are listed.
    pub bindings: Vec<Binding>,
    /// Told to agents ahead of the servers' own instructions; empty for none.
    pub instructions: String,
}

/// How a gateway names the tools of its servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrefixMode {
    /// `<server>__<tool>`.
    #[default]
    Always,
    /// The tool's own name; one server only.
    Single,
    /// The tool's own name; a collision is a configuration error.
    Never,
}

/// What a gateway's list of tools shows. It says nothing of what may be called.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Listing {
    /// Every tool.
    #[default]
    All,
    /// Two tools of the gateway's own, [`SEARCH_TOOLS`](crate::snapshot::SEARCH_TOOLS) and
    /// [`RUN_TOOL`](crate::snapshot::RUN_TOOL), with which the others are found and run.
    Progressive,
}

/// What a gateway exposes of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// A server of the gateway's organization.
    pub server: Slug,
    /// Which of its tools.
    pub tools: Selection,
    /// Which of its prompts.
    pub prompts: Selection,
    /// Whether its resources, all of them: what one of them links to is seldom known beforehand.
    pub resources: bool,
    /// How its tools are shown and called, by the server's own names; those not named are as the server has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Shape>,
    /// The longest that one call through this binding may take; the server's own limits hold besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// How one tool is shown and called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Its exposed name, in place of the one that the gateway would make.
    pub alias: Option<String>,
    /// What agents are told of it, in place of the server's words.
    pub description: Option<String>,
    /// Arguments that every call has, each as JSON. Clients neither see nor give them.
    pub fixed: BTreeMap<String, String>,
    /// Arguments that clients neither see nor give.
    pub hidden: Vec<String>,
}

/// Which of a server's tools, or of its prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// All it offers, now and later.
    All,
    /// These, by the server's own names.
    Only(Vec<String>),
}

/// An MCP server that runs somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Owner and id; the id is the prefix of its tools.
    pub name: Name,
    /// Beside its own fields.
    pub meta: Meta,
    /// Its Streamable HTTP endpoint, http or https, without userinfo or fragment.
    pub url: Url,
    /// What to present to it.
    pub credential: Option<Slug>,
    /// Which era to speak.
    pub era: EraPolicy,
    /// Limits of a call to it.
    pub timeouts: Timeouts,
    /// What to do when it changes a tool.
    pub drift: DriftPolicy,
    /// What it may ask of clients.
    pub relay: RelayPolicy,
    /// Who shares a session with it.
    pub sharing: Sharing,
    /// How much it may answer in one message.
    pub max_answer: MaxAnswer,
}

/// What a server may ask of the clients that call it. What is off is not declared to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelayPolicy {
    /// Questions to the person.
    pub elicitation: bool,
    /// Completions by the client's model: they cost the client money, and can be used to draw out what it knows.
    pub sampling: bool,
    /// Where the client works: paths on a person's machine.
    pub roots: bool,
}

/// Who shares a session with a server of the era that has sessions.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Sharing {
    /// All sessions of one principal.
    #[default]
    PerPrincipal,
    /// Nobody: one for each session of a client.
    PerSession,
    /// Everybody that may call it. For servers that keep nothing between calls.
    Shared,
}

/// Which era to speak with a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EraPolicy {
    /// Find out.
    #[default]
    Probe,
    /// Sessions (2025-11-25 and before).
    Legacy,
    /// Stateless (2026-07-28).
    Modern,
}

/// What to do when a server changes a tool definition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftPolicy {
    /// Serve the new one.
    #[default]
    Follow,
    /// Serve the approved one.
    Pin,
    /// Stop serving it.
    Block,
}

/// How much a server may answer in one message, be that a document or an event of a stream: whole mebibytes, from one to
/// [`MOST`](Self::MOST).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaxAnswer(u8);

/// Limits of one call to a server. Progress resets `idle` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until the first byte of the answer.
    pub first_byte: Duration,
    /// Between two bytes of a streamed answer.
    pub idle: Duration,
    /// Altogether.
    pub total: Duration,
}

/// What Toolgate presents to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Owner and id.
    pub name: Name,
    /// Beside its own fields.
    pub meta: Meta,
    /// Of which kind.
    pub kind: CredentialKind,
}

/// Kinds of credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialKind {
    /// One header, always the same.
    StaticHeader {
        /// Lower-case header name.
        header: String,
        /// The sealed header value.
        value: SealedBlob,
    },
}

/// A bearer token. The token itself is nowhere, only its keyed hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Owner and id.
    pub name: Name,
    /// Beside its own fields.
    pub meta: Meta,
    /// Whom it stands for.
    pub scope: TokenScope,
    /// Which gateways it may call.
    pub gateways: Reach<Slug>,
    /// Which tools, by exposed name, it may see and call.
    pub tools: Reach<String>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
    /// What it may do at the admin API.
    pub role: AdminRole,
    /// Of the token.
    pub hash: TokenHash,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// Its first characters, to recognise it by.
    pub hint: String,
    /// The deployment's bootstrap token: its role holds in every organization.
    pub system: bool,
}

/// Whom a token stands for.
pub type TokenScope = crate::Subject;

/// A set, or everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reach<T> {
    /// Everything, now and later.
    All,
    /// These, sorted and without repeats.
    Only(Vec<T>),
}

/// What a token may do at the admin API. Ordered: each includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AdminRole {
    /// Nothing.
    #[default]
    None,
    /// Read.
    Viewer,
    /// And write gateways and servers.
    Editor,
    /// And write credentials, tokens and the organization.
    Admin,
}

impl MaxAnswer {
    /// The most that can be set, in mebibytes.
    pub const MOST: u32 = 64;

    /// So many mebibytes; none if that is nothing or too much.
    pub fn new(mebibytes: u32) -> Option<Self> {
        let few = u8::try_from(mebibytes).ok();
        few.filter(|_| (1..=Self::MOST).contains(&mebibytes))
            .map(Self)
    }

    /// In mebibytes.
    pub fn mebibytes(self) -> u32 {
        self.0.into()
    }

    /// In bytes.
    pub fn bytes(self) -> usize {
        usize::from(self.0) * 1024 * 1024
    }
}

impl Default for MaxAnswer {
    fn default() -> Self {
        Self(4)
    }
}

impl TryFrom<u32> for MaxAnswer {
    type Error = &'static str;

    fn try_from(mebibytes: u32) -> Result<Self, Self::Error> {
        Self::new(mebibytes).ok_or("must be 1 to 64 MiB")
    }
}

impl From<MaxAnswer> for u32 {
    fn from(limit: MaxAnswer) -> Self {
        limit.mebibytes()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(300),
        }
    }
}

impl Default for RelayPolicy {
    fn default() -> Self {
        Self {
            elicitation: true,
            sampling: false,
            roots: false,
        }
    }
}

impl Binding {
    /// All that a server offers.
    pub fn all(server: Slug) -> Self {
        Self::tools(server, Selection::All)
    }

    /// These tools, and what goes with them unless it is said: the rest as well when all tools are meant, nothing
    /// else when somebody has chosen.
    pub fn tools(server: Slug, tools: Selection) -> Self {
        let rest = tools == Selection::All;
        let prompts = if rest {
            Selection::All
        } else {
            Selection::none()
        };
        Self {
            server,
            tools,
            prompts,
            resources: rest,
            shapes: BTreeMap::new(),
            timeout: None,
        }
    }
}

impl Selection {
    /// Nothing at all.
    pub const fn none() -> Self {
        Self::Only(Vec::new())
    }
}

impl<T: Ord> Reach<T> {
    /// A set of these; none means everything, as in the API.
    pub fn of(mut items: Vec<T>) -> Self {
        if items.is_empty() {
            return Self::All;
        }
        items.sort();
        items.dedup();
        Self::Only(items)
    }

    /// Whether `item` is in it.
    pub fn contains<Q>(&self, item: &Q) -> bool
    where
        T: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        match self {
            Self::All => true,
            Self::Only(items) => items
                .binary_search_by(|probe| probe.borrow().cmp(item))
                .is_ok(),
        }
    }
}
