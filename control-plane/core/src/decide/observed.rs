//! Records observations: server definitions and proxy status. The content of an observation is never rejected;
//! oversized parts are truncated and the truncation is reported.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use toolgate_model::{
    Definition, DefinitionsPart, FetchedKeys, IdentityProvider, KeySource, ObjectName, ProxyStatus,
    Server, ServerDefinitions, Slug, Timestamp, Uid, VerificationKey,
    server_health::{HEALTH_DETAIL, HEALTH_SERVERS},
    text::truncated,
};

use crate::{
    change::Change,
    compile,
    definitions::{self, NamedPart},
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    object::ControlObject,
    push::STALE_AFTER,
    rejection::Rejection,
};

use super::change_builder::ChangeBuilder;

/// Minimum interval between two records of an unchanged probe result, because every record is a store write.
const UNCHANGED_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum number of omissions: for each list, one for the limit that cuts it and one for the definitions that are left out.
const MAX_OMISSIONS: usize = 2 * definitions::LISTS.len();

pub(super) fn record_definitions(
    mut draft: ChangeBuilder<'_>,
    seen: &ServerDefinitions,
) -> Result<Change, Rejection> {
    let server = Server::key(seen.server.clone());
    let key = ServerDefinitions::key(seen.server.clone());
    if !draft.state.servers.contains(&seen.server) {
        return Err(Rejection::NotFound(server));
    }
    let before = draft.state.definitions.get(&seen.server).cloned();
    let before = before.as_deref();
    let mut next =
        truncate_to_limits(carried_over(seen.clone(), before)).with_problem_since(before);
    let stored = |before: &&ServerDefinitions| {
        let mut parts = before.parts.iter();
        before.lists() == next.lists() && parts.all(|it| draft.state.has_part(&seen.server, *it))
    };
    let parts = match before.filter(stored) {
        Some(before) => {
            next.parts.clone_from(&before.parts);
            Vec::new()
        }
        None => {
            let parts = definitions::parts_of(&next);
            next.parts = parts.iter().map(|(digest, _)| *digest).collect();
            parts
        }
    };
    if let Some(before) = before {
        let same = ServerDefinitions {
            probed: before.probed,
            ..next.clone()
        } == *before;
        if same && next.probed.since(before.probed) < UNCHANGED_INTERVAL {
            return Ok(Change::empty(key));
        }
    }
    draft.guard(&server);
    let is_missing = |part: &&NamedPart| !draft.state.has_part(&seen.server, part.0);
    if let Some((digest, part)) = parts.iter().find(is_missing) {
        // The caller repeats the command until the definitions themselves are written.
        let part_key = ObjectKey::DefinitionsPart(seen.server.clone(), *digest);
        draft.put(part_key, ControlObject::DefinitionsPart(Arc::clone(part)));
        return Ok(draft.finish(key));
    }
    delete_parts(&mut draft, &next);
    if before.is_none_or(|before| compile::definitions_differ(before, &next)) {
        draft.add_description(describe(before, &next));
        draft.mark_compile_input_changed();
    }
    draft.put(key.clone(), Arc::new(next).to_object());
    Ok(draft.finish(key))
}

/// Stores a part of definitions, unless the store has it.
pub(super) fn record_definitions_part(
    mut draft: ChangeBuilder<'_>,
    part: &Arc<DefinitionsPart>,
) -> Result<Change, Rejection> {
    let server = Server::key(part.server.clone());
    if !draft.state.servers.contains(&part.server) {
        return Err(Rejection::NotFound(server));
    }
    let key = ObjectKey::DefinitionsPart(part.server.clone(), part.digest());
    if draft.state.mod_revision_at(&key).is_some() {
        return Ok(Change::empty(key));
    }
    draft.guard(&server);
    let object = ControlObject::DefinitionsPart(Arc::clone(part));
    draft.put(key.clone(), object);
    Ok(draft.finish(key))
}

/// Deletes the parts that `next` does not name. Only the change that writes the definitions deletes parts of an existing
/// server: the guard of the definitions then fails for another writer that relies on them.
fn delete_parts(draft: &mut ChangeBuilder<'_>, next: &ServerDefinitions) {
    let server = &next.server;
    let stored = draft.state.part_digests(server).into_iter();
    let unused = stored.filter(|digest| !next.parts.contains(digest));
    for digest in unused.take(limits::PARTS_SWEEP_BATCH) {
        draft.delete_unguarded(ObjectKey::DefinitionsPart(server.clone(), digest));
    }
}

/// Interval in which the text of a problem that lasts is written at most once.
const PROBLEM_TEXT_INTERVAL: Duration = Duration::from_secs(600);

/// Problem of a provider whose key set has no key that can be used.
const NO_USABLE_KEY: &str =
    "the key set has no key that can be used: RSA of 2048 bits or more, P-256, P-384 or Ed25519";

/// Stores the keys of a provider if they changed, or the start of a problem. Keys stay while they cannot be fetched, for
/// [`limits::PROVIDER_KEYS_RETENTION`]; a provider that publishes none has withdrawn them. The text of a problem that lasts is
/// written once in [`PROBLEM_TEXT_INTERVAL`], so that a provider whose answers vary causes few writes. A provider that was replaced
/// meanwhile is left alone.
pub(super) fn record_provider_keys(
    mut draft: ChangeBuilder<'_>,
    (name, uid): (&ObjectName, &Uid),
    found: &Result<Vec<VerificationKey>, String>,
) -> Result<Change, Rejection> {
    let key = IdentityProvider::key(name.clone());
    let Some(current) = draft.state.identity_providers.get(name).cloned() else {
        return Err(Rejection::NotFound(key));
    };
    let mut next = IdentityProvider::clone(&current);
    if current.meta.uid != *uid || current.key_source() == KeySource::Listed {
        return Ok(Change::empty(key));
    }
    let fetched = &mut next.fetched;
    if let Ok(keys) = found
        && fetched.keys != *keys
    {
        fetched.keys.clone_from(keys);
        fetched.keys.truncate(limits::PROVIDER_KEYS);
        fetched.fetched = draft.now();
    }
    let problem = match found {
        Ok(keys) if keys.is_empty() => Some(NO_USABLE_KEY),
        Ok(_) => None,
        Err(problem) => Some(problem.as_str()),
    };
    match problem {
        Some(problem) => record_problem(fetched, problem, draft.now()),
        None => {
            fetched.problem = None;
            (fetched.problem_since, fetched.problem_updated) = Default::default();
        }
    }
    if next == *current {
        return Ok(Change::empty(key));
    }
    let outcome = match &next.fetched.problem {
        Some(problem) => problem.clone(),
        None => format!("{} keys", next.fetched.keys.len()),
    };
    draft.add_description(format!("keys of {}: {outcome}", key.describe()));
    draft.put(key.clone(), Arc::new(next).to_object());
    Ok(draft.finish(key))
}

fn record_problem(fetched: &mut FetchedKeys, problem: &str, now: Timestamp) {
    let text = truncated(problem, limits::LABEL_VALUE);
    if fetched.problem.is_none() {
        fetched.problem_since = now;
    }
    let is_due = now.since(fetched.problem_updated) >= PROBLEM_TEXT_INTERVAL;
    if fetched.problem.is_none() || (is_due && fetched.problem.as_deref() != Some(text)) {
        fetched.problem = Some(text.to_owned());
        fetched.problem_updated = now;
    }
    if now.since(fetched.problem_since) > limits::PROVIDER_KEYS_RETENTION {
        fetched.keys.clear();
    }
}

pub(super) fn record_proxy(
    mut draft: ChangeBuilder<'_>,
    seen: &ProxyStatus,
) -> Result<Change, Rejection> {
    let key = ObjectKey::Proxy(seen.id.clone());
    if draft.state.is_expelled(&seen.id, draft.now()) {
        return Err(Rejection::NotFound(key));
    }
    // The final status of a proxy must not restore the record of an expelled proxy.
    draft.guard(&ObjectKey::Expelled(seen.id.clone()));
    let seen = truncate_proxy(seen.clone());
    if let Some(recorded) = draft.state.proxies.get(&seen.id)
        && is_superseded(&seen, recorded, draft.now())
    {
        return Ok(Change::empty(key));
    }
    let (is_connected, status) = (seen.connected, ControlObject::Proxy(Arc::new(seen)));
    if is_connected {
        // Unguarded: the control plane that the proxy is connected to has the latest status, and the next record
        // follows soon.
        draft.put_unguarded(key.clone(), status);
    } else {
        // No record follows a disconnect. The proxy may just have connected to another control plane.
        draft.put(key.clone(), status);
    }
    Ok(draft.finish(key))
}

/// Returns `true` if the recorded status is of a newer stream than `seen`: the proxy has connected to another control
/// plane, and the end of its old connection was noticed late. A record that is not renewed any more does not count.
fn is_superseded(seen: &ProxyStatus, recorded: &ProxyStatus, now: Timestamp) -> bool {
    seen.stream_started < recorded.stream_started && now.since(recorded.last_seen) <= STALE_AFTER
}

pub(super) fn forget_proxy(mut draft: ChangeBuilder<'_>, id: &Slug) -> Result<Change, Rejection> {
    let key = ObjectKey::Proxy(id.clone());
    if draft.state.mod_revision_at(&key).is_none() {
        return Err(Rejection::NotFound(key));
    }
    draft.delete(key.clone());
    let until = draft.now().after(limits::EXPULSION_PERIOD);
    draft.put(
        ObjectKey::Expelled(id.clone()),
        ControlObject::Expelled(until),
    );
    Ok(draft.finish(key))
}

pub(super) fn admit_proxy(mut draft: ChangeBuilder<'_>, id: &Slug) -> Result<Change, Rejection> {
    let key = ObjectKey::Expelled(id.clone());
    if draft.state.mod_revision_at(&key).is_none() {
        return Err(Rejection::NotFound(key));
    }
    draft.delete(key.clone());
    Ok(draft.finish(key))
}

/// Truncates the status of a proxy. A proxy reports every rejected resource; operators see the first ones.
fn truncate_proxy(mut seen: ProxyStatus) -> ProxyStatus {
    truncate_bytes(&mut seen.region, limits::LABEL_VALUE);
    truncate_bytes(&mut seen.build, limits::LABEL_VALUE);
    truncate_bytes(&mut seen.listen, limits::LABEL_VALUE);
    seen.rejections.truncate(limits::PROXY_REFUSALS);
    seen.servers.truncate(HEALTH_SERVERS);
    for health in &mut seen.servers {
        truncate_bytes(&mut health.failure, limits::LABEL_VALUE);
        truncate_bytes(&mut health.detail, HEALTH_DETAIL);
        for failed in &mut health.endpoints {
            truncate_bytes(&mut failed.failure, limits::LABEL_VALUE);
            truncate_bytes(&mut failed.detail, HEALTH_DETAIL);
        }
    }
    for rejection in &mut seen.rejections {
        truncate_bytes(&mut rejection.reason, limits::DESCRIPTION);
    }
    seen
}

/// Keeps the definitions of the previous probe if the current probe failed.
fn carried_over(
    mut seen: ServerDefinitions,
    before: Option<&ServerDefinitions>,
) -> ServerDefinitions {
    let failed = seen.problem.is_some() && seen.is_empty();
    if let Some(before) = before.filter(|_| failed) {
        seen.tools.clone_from(&before.tools);
        seen.prompts.clone_from(&before.prompts);
        seen.resources.clone_from(&before.resources);
        seen.templates.clone_from(&before.templates);
        seen.omissions.clone_from(&before.omissions);
        seen.instructions.clone_from(&before.instructions);
        seen.capabilities.clone_from(&before.capabilities);
        seen.protocol_version.clone_from(&before.protocol_version);
        seen.legacy_version.clone_from(&before.legacy_version);
        seen.server_name.clone_from(&before.server_name);
        seen.server_version.clone_from(&before.server_version);
        seen.era = before.era;
    }
    seen
}

fn truncate_to_limits(mut seen: ServerDefinitions) -> ServerDefinitions {
    truncate_bytes(&mut seen.instructions, limits::SERVER_INSTRUCTIONS);
    truncate_bytes(&mut seen.server_name, limits::LABEL_VALUE);
    truncate_bytes(&mut seen.server_version, limits::LABEL_VALUE);
    truncate_bytes(&mut seen.protocol_version, limits::LABEL_VALUE);
    truncate_bytes(&mut seen.legacy_version, limits::LABEL_VALUE);
    if let Some(problem) = &mut seen.problem {
        truncate_bytes(&mut problem.text, limits::DESCRIPTION);
    }
    if seen.capabilities.len() > limits::SERVER_CAPABILITIES {
        seen.capabilities = "{}".to_owned();
    }
    let omitted = definitions::cut_to_limits(&mut seen);
    seen.omissions
        .extend(omitted.iter().map(ToString::to_string));
    seen.omissions.truncate(MAX_OMISSIONS);
    for text in &mut seen.omissions {
        truncate_bytes(text, limits::DESCRIPTION);
    }
    seen
}

fn truncate_bytes(text: &mut String, bytes: usize) {
    let kept = truncated(text, bytes).len();
    text.truncate(kept);
}

fn describe(before: Option<&ServerDefinitions>, next: &ServerDefinitions) -> String {
    let server = &next.server;
    if let Some(problem) = &next.problem {
        let problem: String = problem.text.chars().take(limits::DISPLAY_NAME).collect();
        return format!("probe of server {server}: {problem}");
    }
    let lists = [
        // Every server is expected to offer tools, so that their absence is stated.
        ("tools", true, before.map(|it| &it.tools), &next.tools),
        (
            "prompts",
            false,
            before.map(|it| &it.prompts),
            &next.prompts,
        ),
        (
            "resources",
            false,
            before.map(|it| &it.resources),
            &next.resources,
        ),
        (
            "templates",
            false,
            before.map(|it| &it.templates),
            &next.templates,
        ),
    ];
    let changes = lists.iter().filter_map(|(what, always, before, next)| {
        let before = before.map_or(&[][..], Vec::as_slice);
        let known = before.iter().map(|it| (it.name.as_str(), it));
        let known: BTreeMap<&str, &Definition> = known.collect();
        let is_new = |it: &&Definition| known.get(it.name.as_str()) != Some(it);
        let new = next.iter().filter(is_new).count();
        let named = *always || !before.is_empty() || !next.is_empty();
        let what = match next.len() {
            1 => what.trim_end_matches('s'),
            _ => what,
        };
        named.then(|| format!("{} {what}, {new} new or changed", next.len()))
    });
    let changes: Vec<String> = changes.chain(next.omissions.iter().cloned()).collect();
    format!("probe of server {server}: {}", changes.join("; "))
}
