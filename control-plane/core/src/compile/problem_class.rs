//! Classification of the problems of a configuration, for programs. The texts of problems are for people only.

use toolgate_model::Slug;

use super::{ConfigProblem, ProblemKind};

/// Effect of a problem on the object that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemSeverity {
    /// A part is left out as a limit demands, or something deserves attention. The object works.
    Warning,
    /// The object, or something that it names, does not work.
    Error,
}

impl ConfigProblem {
    /// Returns the effect on the object.
    pub fn severity(&self) -> ProblemSeverity {
        self.kind.severity()
    }
}

impl ProblemKind {
    /// Returns the name of the kind, which the API reports. Names are never changed, because programs compare them.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoServer(_) => "NO_SERVER",
            Self::BoundTwice(_) => "BOUND_TWICE",
            Self::NotSingle(_) => "NOT_SINGLE",
            Self::Collision(_) => "NAME_COLLISION",
            Self::ReservedName { .. } => "RESERVED_NAME",
            Self::TooMany { .. } => "TOO_MANY",
            Self::IdTaken(_) => "ID_TAKEN",
            Self::GatewayReplaced(_) => "GATEWAY_REPLACED",
            Self::GatewayDeleted(_) => "GATEWAY_DELETED",
            Self::NoCredential(_) => "NO_CREDENTIAL",
            Self::NoProvider(_) => "NO_IDENTITY_PROVIDER",
            Self::CredentialElsewhere { .. } => "CREDENTIAL_ELSEWHERE",
            Self::CredentialRepeated { .. } => "CREDENTIAL_REPEATED",
            Self::NoApprovals => "NO_APPROVALS",
            Self::ServerNotServed(_) => "SERVER_NOT_SERVED",
            Self::NotProbed(_) => "NOT_PROBED",
            Self::DefinitionsOmitted { .. } => "DEFINITIONS_OMITTED",
            Self::NotOffered { .. } => "NOT_OFFERED",
            Self::ShapeUnused { .. } => "SHAPE_UNUSED",
            Self::NoArgument { .. } => "NO_ARGUMENT",
            Self::HiddenRequired { .. } => "HIDDEN_REQUIRED",
            Self::LooksAlike(_) => "LOOKS_ALIKE",
            Self::DuplicateUri { .. } => "DUPLICATE_URI",
        }
    }

    /// Returns the effect on the object.
    pub fn severity(&self) -> ProblemSeverity {
        match self {
            Self::DefinitionsOmitted { .. }
            | Self::ShapeUnused { .. }
            | Self::NoArgument { .. }
            | Self::LooksAlike(_)
            | Self::DuplicateUri { .. } => ProblemSeverity::Warning,
            Self::NoServer(_)
            | Self::BoundTwice(_)
            | Self::NotSingle(_)
            | Self::Collision(_)
            | Self::ReservedName { .. }
            | Self::TooMany { .. }
            | Self::IdTaken(_)
            | Self::GatewayReplaced(_)
            | Self::GatewayDeleted(_)
            | Self::NoCredential(_)
            | Self::NoProvider(_)
            | Self::CredentialElsewhere { .. }
            | Self::CredentialRepeated { .. }
            | Self::NoApprovals
            | Self::ServerNotServed(_)
            | Self::NotProbed(_)
            | Self::NotOffered { .. }
            | Self::HiddenRequired { .. } => ProblemSeverity::Error,
        }
    }

    /// Returns the id of the server that has not been probed, if this is the problem.
    pub fn unprobed_server(&self) -> Option<&Slug> {
        let Self::NotProbed(server) = self else {
            return None;
        };
        Some(server)
    }

    /// Returns the id of the server concerned. Of several, it is the affected one.
    pub fn server(&self) -> Option<&Slug> {
        match self {
            Self::NoServer(name) => Some(&name.id),
            Self::BoundTwice(server)
            | Self::ServerNotServed(server)
            | Self::NotProbed(server)
            | Self::ReservedName { server, .. }
            | Self::DefinitionsOmitted { server, .. }
            | Self::NotOffered { server, .. }
            | Self::ShapeUnused { server, .. }
            | Self::NoArgument { server, .. }
            | Self::HiddenRequired { server, .. }
            | Self::DuplicateUri { server, .. } => Some(server),
            Self::Collision(collision) => Some(&collision.server),
            Self::LooksAlike(names) => Some(&names.server),
            Self::NotSingle(_)
            | Self::TooMany { .. }
            | Self::IdTaken(_)
            | Self::GatewayReplaced(_)
            | Self::GatewayDeleted(_)
            | Self::NoCredential(_)
            | Self::NoProvider(_)
            | Self::CredentialElsewhere { .. }
            | Self::CredentialRepeated { .. }
            | Self::NoApprovals => None,
        }
    }

    /// Returns the name that the server concerned uses for the tool or prompt concerned.
    pub fn original_name(&self) -> Option<&str> {
        match self {
            Self::ReservedName { name, .. }
            | Self::NotOffered { name, .. }
            | Self::ShapeUnused { name, .. }
            | Self::NoArgument { name, .. }
            | Self::HiddenRequired { name, .. } => Some(name),
            Self::Collision(collision) => Some(&collision.name),
            Self::NoServer(_)
            | Self::BoundTwice(_)
            | Self::NotSingle(_)
            | Self::TooMany { .. }
            | Self::IdTaken(_)
            | Self::GatewayReplaced(_)
            | Self::GatewayDeleted(_)
            | Self::NoCredential(_)
            | Self::NoProvider(_)
            | Self::CredentialElsewhere { .. }
            | Self::CredentialRepeated { .. }
            | Self::NoApprovals
            | Self::ServerNotServed(_)
            | Self::NotProbed(_)
            | Self::DefinitionsOmitted { .. }
            | Self::LooksAlike(_)
            | Self::DuplicateUri { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
