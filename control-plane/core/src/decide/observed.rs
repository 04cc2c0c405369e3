//! Records observations: server definitions and proxy status. The content of an observation is never rejected;
//! oversized parts are truncated and the truncation is reported.

use std::{sync::Arc, time::Duration};

use toolgate_model::{Catalogue, Proxy, Slug};

use crate::{change::Change, key::Key, limits, object::Object, rejection::Rejection};

use super::draft::Draft;

/// Minimum interval between two records of an unchanged probe result, because every record is a store write.
const NOTHING_NEW: Duration = Duration::from_secs(600);

pub(super) fn catalogue(mut draft: Draft<'_>, seen: &Catalogue) -> Result<Change, Rejection> {
    let server = Key::Server(seen.server.clone());
    let key = Key::Catalogue(seen.server.clone());
    if !draft.state.servers.contains(&seen.server) {
        return Err(Rejection::NotFound(server));
    }
    let before = draft.state.catalogues.get(&seen.server).cloned();
    let before = before.as_deref();
    let next = bounded(carried_over(seen.clone(), before)).troubled_since(before);
    if let Some(before) = before {
        let same = Catalogue {
            probed: before.probed,
            ..next.clone()
        } == *before;
        if same && next.probed.since(before.probed) < NOTHING_NEW {
            return Ok(Change::nothing(key));
        }
    }
    draft.guard(&server);
    if before.is_none_or(|before| differs(before, &next)) {
        draft.note(describe(before, &next));
        draft.compiles();
    }
    draft.put(key.clone(), Object::Catalogue(Arc::new(next)));
    Ok(draft.finish(key))
}

pub(super) fn proxy(mut draft: Draft<'_>, seen: &Proxy) -> Result<Change, Rejection> {
    let key = Key::Proxy(seen.id.clone());
    if draft.state.is_expelled(&seen.id, draft.now()) {
        return Err(Rejection::NotFound(key));
    }
    // The final status of a proxy must not restore the record of an expelled proxy.
    draft.guard(&Key::Expelled(seen.id.clone()));
    let seen = bounded_proxy(seen.clone());
    // The record itself is unguarded: the control plane that the proxy is connected to has the latest status, and
    // the next record follows soon.
    draft.put_unguarded(key.clone(), Object::Proxy(Arc::new(seen)));
    Ok(draft.finish(key))
}

pub(super) fn forget_proxy(mut draft: Draft<'_>, id: &Slug) -> Result<Change, Rejection> {
    let key = Key::Proxy(id.clone());
    if draft.state.modified_at(&key).is_none() {
        return Err(Rejection::NotFound(key));
    }
    draft.delete(key.clone());
    let until = draft.now().after(limits::EXPULSION);
    draft.put(Key::Expelled(id.clone()), Object::Expelled(until));
    Ok(draft.finish(key))
}

/// Truncates the status of a proxy. A proxy reports every rejected resource; operators see the first ones.
fn bounded_proxy(mut seen: Proxy) -> Proxy {
    cut(&mut seen.region, limits::LABEL_VALUE);
    cut(&mut seen.build, limits::LABEL_VALUE);
    cut(&mut seen.listen, limits::LABEL_VALUE);
    seen.refusals.truncate(limits::PROXY_REFUSALS);
    for refusal in &mut seen.refusals {
        cut(&mut refusal.reason, limits::DESCRIPTION);
    }
    seen
}

/// Returns `true` if the compile input differs. The probe time and the probe error are not inputs, because proxies
/// do not use them.
fn differs(before: &Catalogue, next: &Catalogue) -> bool {
    let compiled = |it: &Catalogue| (it.era, it.protocol_version.clone());
    before.tools != next.tools
        || before.prompts != next.prompts
        || before.resources != next.resources
        || before.templates != next.templates
        || before.instructions != next.instructions
        || before.capabilities != next.capabilities
        || compiled(before) != compiled(next)
}

/// Keeps the definitions of the previous probe if the current probe failed.
fn carried_over(mut seen: Catalogue, before: Option<&Catalogue>) -> Catalogue {
    let nothing = [&seen.tools, &seen.prompts, &seen.resources, &seen.templates]
        .iter()
        .all(|list| list.is_empty());
    let failed = seen.problem.is_some() && nothing;
    if let Some(before) = before.filter(|_| failed) {
        seen.tools.clone_from(&before.tools);
        seen.prompts.clone_from(&before.prompts);
        seen.resources.clone_from(&before.resources);
        seen.templates.clone_from(&before.templates);
        seen.instructions.clone_from(&before.instructions);
        seen.capabilities.clone_from(&before.capabilities);
        seen.protocol_version.clone_from(&before.protocol_version);
        seen.server_name.clone_from(&before.server_name);
        seen.server_version.clone_from(&before.server_version);
        seen.era = before.era;
    }
    seen
}

fn bounded(mut seen: Catalogue) -> Catalogue {
    cut(&mut seen.instructions, limits::CATALOGUE_INSTRUCTIONS);
    cut(&mut seen.server_name, limits::LABEL_VALUE);
    cut(&mut seen.server_version, limits::LABEL_VALUE);
    cut(&mut seen.protocol_version, limits::LABEL_VALUE);
    if let Some(problem) = &mut seen.problem {
        cut(problem, limits::DESCRIPTION);
    }
    if seen.capabilities.len() > limits::CATALOGUE_CAPABILITIES {
        seen.capabilities = "{}".to_owned();
    }
    let lists = [
        ("tools", &mut seen.tools, limits::CATALOGUE_TOOLS),
        ("prompts", &mut seen.prompts, limits::CATALOGUE_PROMPTS),
        (
            "resources",
            &mut seen.resources,
            limits::CATALOGUE_RESOURCES,
        ),
        (
            "templates",
            &mut seen.templates,
            limits::CATALOGUE_TEMPLATES,
        ),
    ];
    for (what, list, limit) in lists {
        let (offered, kept) = (list.len(), limit.keeps(list));
        if kept < offered {
            list.truncate(kept);
            let (count, kib) = (limit.count, limit.bytes / 1024);
            seen.problem.get_or_insert(format!(
                "the server offers {offered} {what}; the first {kept} are kept (at most {count} {what} and {kib} KiB)"
            ));
        }
    }
    seen
}

/// Truncates at a character boundary.
fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
}

fn describe(before: Option<&Catalogue>, next: &Catalogue) -> String {
    let server = &next.server;
    if let Some(problem) = &next.problem {
        let problem: String = problem.chars().take(limits::DISPLAY_NAME).collect();
        return format!("probe of server {server}: {problem}");
    }
    let lists = [
        ("tools", before.map(|it| &it.tools), &next.tools),
        ("prompts", before.map(|it| &it.prompts), &next.prompts),
        ("resources", before.map(|it| &it.resources), &next.resources),
        ("templates", before.map(|it| &it.templates), &next.templates),
    ];
    let said = lists.iter().filter_map(|(what, before, next)| {
        let before = before.map_or(&[][..], Vec::as_slice);
        let new = next.iter().filter(|it| !before.contains(it)).count();
        let speaks = *what == "tools" || !before.is_empty() || !next.is_empty();
        speaks.then(|| format!("{} {what}, {new} new or changed", next.len()))
    });
    let said: Vec<String> = said.collect();
    format!("probe of server {server}: {}", said.join("; "))
}
