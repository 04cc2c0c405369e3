//! Compiles the state into a snapshot. The result is deterministic: one resource with a digest per object. An
//! object that does not compile affects no other object: its content is hidden, and a [`ConfigProblem`] reports the
//! reason.
//!
//! A command is compiled before it is stored (see [`crate::decide()`]). A problem found here therefore comes from
//! drift: a server that changed its tools, or a direct write to the store.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use toolgate_model::{ChangeLog, CredentialHosts, ObjectName, ResourceKey, Slug, Snapshot};

use crate::state::StoreState;

mod dependents;
mod exposed_name;
pub mod gateway;
mod identity_providers;
mod name_allocator;
mod problem_class;
mod rate_limits;
mod resources;
pub mod server;
mod shapes;
#[cfg(test)]
mod tests;

pub(crate) use dependents::definitions_differ;
pub use exposed_name::exposed_name;
pub(crate) use exposed_name::is_exposed_name;
pub use problem_class::ProblemSeverity;

/// Compiled snapshot and the problems found while compiling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompileOutput {
    /// Snapshot that is pushed to proxies.
    pub snapshot: Arc<Snapshot>,
    /// Problems reported to operators, by affected resource.
    pub problems: CompiledProblems,
    /// State that was compiled. The next compilation compiles what depends on the changes since.
    input: StoreState,
    /// Latest changes of resources and problems.
    changes: ChangeLog<ResourceKey>,
}

/// Problems by affected resource. A resource without problems is not contained. Clones share their content.
pub type CompiledProblems = RedBlackTreeMapSync<ResourceKey, Vec<ConfigProblem>>;

/// Reason why an object, or part of it, is missing from the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// Path of the field in the API.
    pub field: String,
    /// Kind of the problem.
    pub kind: ProblemKind,
}

/// Kinds of configuration problems.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ProblemKind {
    /// A binding references a server that does not exist.
    #[error("there is no server {0}; create it first, or remove the binding")]
    NoServer(ObjectName),
    /// A server is bound more than once.
    #[error("server {0} is bound twice; put its tools into one binding")]
    BoundTwice(Slug),
    /// A gateway with prefix mode `single` has more than one binding.
    #[error("prefix `single` allows one binding, and there are {0}; use `always`")]
    NotSingle(usize),
    /// Two tools, or two prompts, have the same exposed name.
    #[error(transparent)]
    Collision(Box<NameCollision>),
    /// A tool has the exposed name of a tool that the gateway itself provides.
    #[error(
        "tool `{name}` of server {server} would be exposed as `{exposed}`, which is a tool of a gateway whose listing \
         is progressive; leave it out, give it an alias, or use prefix `always`"
    )]
    ReservedName {
        /// Reserved name.
        exposed: &'static str,
        /// Server of the tool. The tool is hidden.
        server: Slug,
        /// Name of the tool at its server.
        name: String,
    },
    /// A gateway exposes more tools or prompts than the limit.
    #[error("{found} {what}s are more than the limit of {limit}; expose fewer")]
    TooMany {
        /// Tools or prompts.
        what: ExposedKind,
        /// Number of tools or prompts.
        found: usize,
        /// Maximum number.
        limit: usize,
    },
    /// The gateway id belongs to another organization.
    #[error("the gateway id {0} belongs to another organization; choose another id")]
    IdTaken(Slug),
    /// A token lists a gateway that was deleted and made again. Not an error: the token was given another gateway.
    #[error(
        "gateway {0} was deleted and created again after the token was given it, and does not admit the token; make a \
         new token"
    )]
    GatewayReplaced(Slug),
    /// A token lists a gateway that does not exist. Not an error: the token outlives the gateway.
    #[error(
        "gateway {0} does not exist any more; delete the token, or make a new one for another gateway"
    )]
    GatewayDeleted(Slug),
    /// The credential of a server does not exist.
    #[error("there is no credential {0}; create it first, or remove it from the server")]
    NoCredential(ObjectName),
    /// An endpoint of a server is outside the hosts of its credential.
    #[error(
        "credential {credential} may be sent to {hosts} only, and the server has the endpoint `{url}`; add its origin to \
         the credential's spec.hosts, or use another credential"
    )]
    CredentialElsewhere {
        /// Credential of the server.
        credential: ObjectName,
        /// Origins that the credential is bound to.
        hosts: CredentialHosts,
        /// First endpoint outside.
        url: String,
    },
    /// The URL of an endpoint has a query parameter that the credential of the server sets.
    #[error(
        "credential {credential} sets the query parameter `{parameter}`, and so does the URL of an endpoint; remove it from \
         the URL, or use another credential"
    )]
    CredentialRepeated {
        /// Credential of the server.
        credential: ObjectName,
        /// Name of the parameter.
        parameter: String,
    },
    /// A gateway admits callers of an identity provider that does not exist.
    #[error("there is no identity provider {0}; create it first, or remove it from the gateway")]
    NoProvider(ObjectName),
    /// The drift policy of a server requires approvals, which are not implemented.
    #[error(
        "drift policies other than `follow` need approvals, which this version does not have; use `follow`"
    )]
    NoApprovals,
    /// A bound server has a problem of its own and is not served.
    #[error("server {0} is not served; see its own problems")]
    ServerNotServed(Slug),
    /// A server has not been probed yet. Not an error: the probe is pending.
    #[error("server {0} has not been probed yet; what it offers appears when it has answered")]
    NotProbed(Slug),
    /// A limit cuts a list of the server. Not an error: the server may list less again.
    #[error("server {server} is not offered as a whole: {text}")]
    DefinitionsOmitted {
        /// Server.
        server: Slug,
        /// List and limit.
        text: String,
    },
    /// The server does not offer a selected tool or prompt. Not an error: the server may offer it again.
    #[error("server {server} does not offer a {what} `{name}`")]
    NotOffered {
        /// Server.
        server: Slug,
        /// Tool or prompt.
        what: ExposedKind,
        /// Name of the tool or prompt at its server.
        name: String,
    },
    /// A tool has a shape but is not selected by the binding. Not an error: the shape has no effect.
    #[error(
        "tool `{name}` of server {server} is shaped and not exposed; name it in `tools`, or remove its shape"
    )]
    ShapeUnused {
        /// Server.
        server: Slug,
        /// Name of the tool at its server.
        name: String,
    },
    /// A shape sets or hides an argument that the tool does not declare. Not an error: the server may add the
    /// argument later. A mistyped name, however, leaves the intended argument under the control of callers.
    #[error(
        "tool `{name}` of server {server} declares no argument `{argument}`; correct its name, or leave it out"
    )]
    NoArgument {
        /// Server.
        server: Slug,
        /// Name of the tool at its server.
        name: String,
        /// Name of the argument.
        argument: String,
    },
    /// A shape hides an argument that the tool requires. Not an error: the server may make the argument optional
    /// later.
    #[error(
        "tool `{name}` of server {server} requires `{argument}`, and nobody can give it: no call succeeds; set it in \
         `fixed`, or do not hide it"
    )]
    HiddenRequired {
        /// Server.
        server: Slug,
        /// Name of the tool at its server.
        name: String,
        /// Name of the argument.
        argument: String,
    },
    /// Two tools, or two prompts, have names that render alike. Not an error: both are exposed, under names that differ
    /// for programs.
    #[error(transparent)]
    LooksAlike(Box<ConfusableNames>),
    /// Two servers list the same URI. Not an error: both may list the same external resource, and neither server
    /// can be configured to avoid a clash.
    #[error(
        "resource `{uri}` of server {server} is hidden: server {first} has one of that URI and is bound earlier; \
         use prefix `always` to offer both"
    )]
    DuplicateUri {
        /// URI of the resource.
        uri: String,
        /// Server whose resource is hidden.
        server: Slug,
        /// Server that requests for the URI are sent to.
        first: Slug,
    },
}

/// Kinds of capabilities that a gateway exposes by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExposedKind {
    /// Tool.
    Tool,
    /// Prompt.
    Prompt,
}

/// Two tools, or two prompts, with the same exposed name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error(
    "{what} `{name}` of server {server} and `{other_name}` of server {other} would both be exposed as `{exposed}`; \
     leave one out, or use prefix `always`"
)]
pub struct NameCollision {
    /// Tools or prompts.
    pub what: ExposedKind,
    /// Exposed name.
    pub exposed: String,
    /// Server of the later entry, which is hidden.
    pub server: Slug,
    /// Name of the later entry at its server.
    pub name: String,
    /// Server of the earlier entry, which stays exposed.
    pub other: Slug,
    /// Name of the earlier entry at its server.
    pub other_name: String,
}

/// Two tools, or two prompts, whose exposed names have the same skeleton (UTS #39), so that readers may take one for
/// the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error(
    "{what} `{exposed}` of server {server} looks like `{other_exposed}` ({other}) and may be taken for it; give one of \
     the two an alias, or leave one out"
)]
pub struct ConfusableNames {
    /// Tools or prompts.
    pub what: ExposedKind,
    /// Exposed name of the later entry.
    pub exposed: String,
    /// Server of the later entry.
    pub server: Slug,
    /// Exposed name of the earlier entry.
    pub other_exposed: String,
    /// Origin of the earlier entry.
    pub other: NameOrigin,
}

/// Origin of an exposed name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameOrigin {
    /// The gateway itself.
    Gateway,
    /// A server.
    Server(Slug),
}

/// Compiles `state` into a snapshot.
pub fn compile(state: &StoreState) -> CompileOutput {
    recompile(state, &CompileOutput::default())
}

/// Compiles what depends on the changes since the state that `previous` was compiled from, and takes everything else
/// from it. The result equals that of [`compile()`]. If the changes are not known, because `state` is not derived from that
/// state or by too many changes, everything is compiled.
pub fn recompile(state: &StoreState, previous: &CompileOutput) -> CompileOutput {
    resources::compile(state, previous)
}

impl CompileOutput {
    /// Returns this output for `state`, which has the same compile inputs. The next compilation then starts from `state`:
    /// only later changes decide which resources are compiled.
    #[must_use]
    pub fn advanced_to(&self, state: &StoreState) -> Self {
        Self {
            input: state.clone(),
            ..self.clone()
        }
    }

    /// Returns the number of resources that [`recompile`] compiles for `state`; `None` if it compiles all of them.
    pub fn recompiled_resources(&self, state: &StoreState) -> Option<usize> {
        dependents::affected(&self.input, state).map(|keys| keys.len())
    }

    /// Returns the keys of the resources whose content or problems may differ from those of `earlier`, with repetitions;
    /// `None` if this output is not derived from `earlier`, or by too many changes.
    pub fn changes_since<'a>(
        &'a self,
        earlier: &Self,
    ) -> Option<impl Iterator<Item = &'a ResourceKey> + use<'a>> {
        self.changes.since(&earlier.changes.position())
    }

    /// Returns the problems of one resource.
    pub fn problems_of(&self, key: &ResourceKey) -> &[ConfigProblem] {
        self.problems.get(key).map_or(&[], Vec::as_slice)
    }
}

impl ProblemKind {
    /// Returns `true` if a command that causes the problem is rejected. The other problems are only reported,
    /// because they can disappear without a change by the operator.
    pub fn rejects_command(&self) -> bool {
        match self {
            Self::NoServer(_)
            | Self::BoundTwice(_)
            | Self::NotSingle(_)
            | Self::Collision(_)
            | Self::ReservedName { .. }
            | Self::TooMany { .. }
            | Self::IdTaken(_)
            | Self::NoCredential(_)
            | Self::NoProvider(_)
            | Self::CredentialElsewhere { .. }
            | Self::CredentialRepeated { .. }
            | Self::NoApprovals => true,
            Self::ServerNotServed(_)
            | Self::NotProbed(_)
            | Self::DefinitionsOmitted { .. }
            | Self::NotOffered { .. }
            | Self::ShapeUnused { .. }
            | Self::NoArgument { .. }
            | Self::HiddenRequired { .. }
            | Self::LooksAlike(_)
            | Self::GatewayReplaced(_)
            | Self::GatewayDeleted(_)
            | Self::DuplicateUri { .. } => false,
        }
    }
}

impl std::fmt::Display for ExposedKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
        })
    }
}

impl std::fmt::Display for NameOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gateway => f.write_str("a tool of the gateway itself"),
            Self::Server(server) => write!(f, "of server {server}"),
        }
    }
}

impl std::fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.kind)
    }
}
