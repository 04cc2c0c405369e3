//! State to snapshot: deterministic, one resource for one object, a digest each. An object that does not compile
//! harms nobody else: what it would have exposed stays hidden, and a [`Problem`] says why. What an operator writes
//! is compiled before it is stored (see [`crate::decide`]), so a problem here comes from drift: a server that
//! changed its tools, or a hand in the store.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_model::{Name, ResourceKey, Slug, Snapshot};

use crate::{port::Revision, state::State};

mod claims;
mod exposed;
pub mod gateway;
mod resources;
pub mod server;
mod shapes;
#[cfg(test)]
mod tests;

pub use exposed::exposed_name;
pub(crate) use exposed::is_exposed_name;

/// A snapshot, and what did not make it into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compiled {
    /// For proxies.
    pub snapshot: Arc<Snapshot>,
    /// For operators: what is wrong, by the resource that it affects.
    pub problems: BTreeMap<ResourceKey, Vec<Problem>>,
    /// The revisions each resource was made from, so that the next compilation can keep what has not changed.
    sources: BTreeMap<ResourceKey, Vec<Revision>>,
}

/// Something that keeps an object, or part of it, out of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Field of the object, as in the API.
    pub field: String,
    /// What.
    pub kind: ProblemKind,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ProblemKind {
    /// A binding names a server that is not there.
    #[error("there is no server {0}; create it first, or remove the binding")]
    NoServer(Name),
    /// A server is bound twice.
    #[error("server {0} is bound twice; put its tools into one binding")]
    BoundTwice(Slug),
    /// More than one binding without prefixes by server.
    #[error("prefix `single` allows one binding, and there are {0}; use `always`")]
    NotSingle(usize),
    /// Two tools, or two prompts, would have one name.
    #[error(transparent)]
    Collision(Box<Collision>),
    /// A tool would have the name of one of the gateway's own.
    #[error(
        "tool `{name}` of server {server} would be exposed as `{exposed}`, which is a tool of a gateway whose listing \
         is progressive; leave it out, give it an alias, or use prefix `always`"
    )]
    OwnName {
        /// The name.
        exposed: &'static str,
        /// The server of the tool, which is hidden.
        server: Slug,
        /// The tool.
        name: String,
    },
    /// Too many tools or prompts.
    #[error("{found} {what}s are more than the limit of {limit}; expose fewer")]
    TooMany {
        /// Of what.
        what: Named,
        /// How many there would be.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The gateway's id belongs to another organization.
    #[error("the gateway id {0} belongs to another organization; choose another id")]
    IdTaken(Slug),
    /// A server's credential is not there.
    #[error("there is no credential {0}; create it first, or remove it from the server")]
    NoCredential(Name),
    /// A server's drift policy needs approvals.
    #[error(
        "drift policies other than `follow` need approvals, which this version does not have; use `follow`"
    )]
    NoApprovals,
    /// A server in the binding does not compile itself.
    #[error("server {0} is not served; see its own problems")]
    ServerNotServed(Slug),
    /// Nothing is known of a server yet. Not an error: it is being probed.
    #[error("server {0} has not been probed yet; what it offers appears when it has answered")]
    NotProbed(Slug),
    /// A named tool or prompt is not offered (any more). Not an error: it may come back.
    #[error("server {server} does not offer a {what} `{name}`")]
    NotOffered {
        /// The server.
        server: Slug,
        /// Of which kind.
        what: Named,
        /// The tool or prompt.
        name: String,
    },
    /// A tool is shaped that the binding leaves out. Not an error: it changes nothing.
    #[error(
        "tool `{name}` of server {server} is shaped and not exposed; name it in `tools`, or remove its shape"
    )]
    ShapeUnused {
        /// The server.
        server: Slug,
        /// The tool.
        name: String,
    },
    /// An argument is set or hidden that the tool does not declare. Not an error: the server may grow it, but what was
    /// meant is left to callers.
    #[error(
        "tool `{name}` of server {server} declares no argument `{argument}`; correct its name, or leave it out"
    )]
    NoArgument {
        /// The server.
        server: Slug,
        /// The tool.
        name: String,
        /// The argument.
        argument: String,
    },
    /// An argument is hidden that the tool requires. Not an error: the server may require less one day.
    #[error(
        "tool `{name}` of server {server} requires `{argument}`, and nobody can give it: no call succeeds; set it in \
         `fixed`, or do not hide it"
    )]
    HiddenRequired {
        /// The server.
        server: Slug,
        /// The tool.
        name: String,
        /// The argument.
        argument: String,
    },
    /// Two servers list one URI. Not an error: it is somebody else's resource that is the same, or a clash that
    /// neither server can be asked to avoid.
    #[error(
        "resource `{uri}` of server {server} is hidden: server {first} has one of that URI and is bound earlier; \
         use prefix `always` to offer both"
    )]
    SameUri {
        /// The URI.
        uri: String,
        /// The server whose resource is hidden.
        server: Slug,
        /// The server that is asked.
        first: Slug,
    },
}

/// What is exposed by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
}

/// Two tools, or two prompts, that would have one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error(
    "{what} `{name}` of server {server} and `{other_name}` of server {other} would both be exposed as `{exposed}`; \
     leave one out, or use prefix `always`"
)]
pub struct Collision {
    /// Of which kind.
    pub what: Named,
    /// The name.
    pub exposed: String,
    /// The server of the later one, which is hidden.
    pub server: Slug,
    /// The later one.
    pub name: String,
    /// The server of the earlier one, which stays.
    pub other: Slug,
    /// The earlier one.
    pub other_name: String,
}

/// The snapshot of `state`.
pub fn compile(state: &State) -> Compiled {
    recompile(state, &Compiled::default())
}

/// The same as [`compile`], reusing from `previous` (of the same epoch) what has not changed since.
pub fn recompile(state: &State, previous: &Compiled) -> Compiled {
    resources::compile(state, previous)
}

impl Compiled {
    /// Everything that is wrong with one resource.
    pub fn problems_of(&self, key: &ResourceKey) -> &[Problem] {
        self.problems.get(key).map_or(&[], Vec::as_slice)
    }
}

impl ProblemKind {
    /// Whether a command that causes it is refused. The others are reported only: they heal by themselves.
    pub fn refuses(&self) -> bool {
        match self {
            Self::NoServer(_)
            | Self::BoundTwice(_)
            | Self::NotSingle(_)
            | Self::Collision(_)
            | Self::OwnName { .. }
            | Self::TooMany { .. }
            | Self::IdTaken(_)
            | Self::NoCredential(_)
            | Self::NoApprovals => true,
            Self::ServerNotServed(_)
            | Self::NotProbed(_)
            | Self::NotOffered { .. }
            | Self::ShapeUnused { .. }
            | Self::NoArgument { .. }
            | Self::HiddenRequired { .. }
            | Self::SameUri { .. } => false,
        }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
        })
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.kind)
    }
}
