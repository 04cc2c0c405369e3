//! Compiles the state after a change and rejects new problems. Only problems caused by the command count. A problem
//! that exists already stays reported and does not block other changes.

use toolgate_model::{Credential, ObjectName, Server};

use crate::{
    change::Change,
    command::Command,
    compile::{ConfigProblem, ProblemKind, gateway, server},
    kind::StateKind as _,
    rejection::{FieldCause, Rejection},
    state::StoreState,
};

use super::rules;

pub(super) fn check(
    state: &StoreState,
    command: &Command,
    change: &Change,
) -> Result<(), Rejection> {
    let object = match command {
        Command::Create(object) | Command::Update { object, .. } => object,
        // The other commands cannot introduce a problem that requires another write to fix: a deletion is rejected
        // while other objects depend on the object, and an observation is a fact.
        Command::Delete { .. }
        | Command::RevokeToken(_)
        | Command::RecordDefinitions(_)
        | Command::RecordDefinitionsPart(_)
        | Command::RecordProxy(_)
        | Command::RecordProviderKeys { .. }
        | Command::ForgetProxy(_)
        | Command::AdmitProxy(_)
        | Command::CreateJoinToken(_)
        | Command::UseJoinToken(_)
        | Command::CreateSystemKey { .. }
        | Command::ResealSystemKey { .. }
        | Command::BumpEpoch => return Ok(()),
    };
    rules::dry_run(object, state, change)
}

/// Rejects a problem of a gateway that the state before does not have.
pub(super) fn new_gateway_problem(
    before: &StoreState,
    after: &StoreState,
    name: &ObjectName,
    prefix: &str,
) -> Result<(), Rejection> {
    let problems = |state: &StoreState| match state.gateways.get(name) {
        Some(gateway) => gateway::compile(state, gateway).1,
        None => Vec::new(),
    };
    refuse_new(&problems(before), problems(after), prefix)
}

/// Rejects a problem of a server that the state before does not have.
pub(super) fn new_server_problem(
    before: &StoreState,
    after: &StoreState,
    name: &ObjectName,
) -> Result<(), Rejection> {
    let problems = |state: &StoreState| match state.servers.get(name) {
        Some(stored) => server::compile(state, stored).err().into_iter().collect(),
        None => Vec::new(),
    };
    refuse_new(&problems(before), problems(after), "")
}

/// Returns the cause of the rejection of a command that causes a problem.
fn cause_of(problem: &ProblemKind) -> FieldCause {
    if let ProblemKind::NoServer(name) = problem {
        return FieldCause::missing(problem.reason(), Server::key(name.clone()));
    }
    if let ProblemKind::NoCredential(name) = problem {
        return FieldCause::missing(problem.reason(), Credential::key(name.clone()));
    }
    let mut cause = FieldCause::new(problem.reason());
    if let ProblemKind::CredentialElsewhere {
        credential, url, ..
    } = problem
    {
        cause.metadata = vec![
            ("credential", credential.id.to_string()),
            ("url", url.clone()),
        ];
    }
    cause
}

fn refuse_new(
    before: &[ConfigProblem],
    after: Vec<ConfigProblem>,
    prefix: &str,
) -> Result<(), Rejection> {
    // Compared by kind and not by field: a binding that moved in the list is not a new problem.
    let known = |problem: &ConfigProblem| before.iter().any(|other| other.kind == problem.kind);
    let new = after
        .into_iter()
        .find(|problem| problem.kind.rejects_command() && !known(problem));
    match new {
        Some(problem) => Err(Rejection::invalid_because(
            problem.field,
            format!("{prefix}{}", problem.kind),
            cause_of(&problem.kind),
        )),
        None => Ok(()),
    }
}
