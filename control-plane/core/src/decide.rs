//! Decides whether a command is accepted and which writes it needs. A pure function of the state and the command.
//! An accepted command compiles: the affected objects are compiled in the state after the change, and a problem
//! that the compiler would reject becomes a rejection that names the field.
//!
//! A change guards the objects that its decision read, so that two control planes can commit changes of different objects
//! at the same time. If another control plane has written one of them meanwhile, the commit fails, and the command is
//! decided again on the newer state. A decision that depends on the absence of objects, such as the deletion of an object
//! that none may refer to, guards all compile inputs. A change that is committed would therefore have been accepted on the
//! latest state as well.
//!
//! The definitions of servers are an exception: the dry run of a gateway reads the definitions of the bound servers, and only
//! the servers are guarded. Definitions are observations, which may cause the same problem after the commit as well. The
//! compiler reports it then.

use crate::{
    change::Change,
    command::{Command, CommandContext},
    limits,
    rejection::Rejection,
    state::StoreState,
};

mod change_builder;
mod desired;
mod dry_run;
mod field;
mod observed;
mod rules;
mod system;
#[cfg(test)]
mod tests;

use change_builder::ChangeBuilder;

/// Returns the writes of `command`, or the reason for its rejection.
pub fn decide(
    state: &StoreState,
    command: &Command,
    context: &CommandContext,
) -> Result<Change, Rejection> {
    if let Some(replayed) = replay(state, context)? {
        return Ok(replayed);
    }
    let draft = ChangeBuilder::new(state, context);
    let change = match command {
        Command::Create(object) => rules::create(draft, object),
        Command::Update { object, expected } => rules::update(draft, object, *expected),
        Command::Delete { key, expected } => rules::delete(draft, key, *expected),
        Command::RevokeToken(name) => desired::revoke(draft, name),
        Command::RecordDefinitions(catalogue) => observed::record_definitions(draft, catalogue),
        Command::RecordDefinitionsPart(part) => observed::record_definitions_part(draft, part),
        Command::RecordProviderKeys { name, uid, found } => {
            observed::record_provider_keys(draft, (name, uid), found)
        }
        Command::RecordProxy(proxy) => observed::record_proxy(draft, proxy),
        Command::ForgetProxy(id) => observed::forget_proxy(draft, id),
        Command::AdmitProxy(id) => observed::admit_proxy(draft, id),
        Command::CreateJoinToken(token) => system::create_join_token(draft, token),
        Command::UseJoinToken(hash) => system::use_join_token(draft, hash),
        Command::CreateSystemKey { name, sealed } => system::create_key(draft, name, sealed),
        Command::ResealSystemKey {
            name,
            sealed,
            expected,
        } => system::reseal_key(draft, name, sealed, *expected),
        Command::BumpEpoch => system::bump_epoch(draft),
    }?;
    dry_run::check(state, command, &change)?;
    Ok(change)
}

/// Returns an empty change if the request id was already processed.
fn replay(state: &StoreState, context: &CommandContext) -> Result<Option<Change>, Rejection> {
    let Some(request) = &context.request else {
        return Ok(None);
    };
    let length = request.id.chars().count();
    if length > limits::REQUEST_ID {
        return Err(Rejection::Limit {
            field: "request_id".to_owned(),
            name: "characters of a request id",
            limit: limits::REQUEST_ID,
            found: length,
        });
    }
    match state.requests.get(&request.record_digest(&context.author)) {
        Some(record) if record.expires > context.now => {
            if record.request != request.digest {
                return Err(Rejection::RequestReused(request.id.clone()));
            }
            let mut change = Change::empty(record.subject.clone());
            change.replayed = true;
            Ok(Some(change))
        }
        Some(_) | None => Ok(None),
    }
}
