//! Get, list, create, update and delete, implemented once for all kinds.

use std::sync::Arc;

use prost::Message as _;
use prost_types::FieldMask;
use tonic::Status;
use toolgate_control_core::{
    CallerIdentity, Change, Command, ObjectKey, Rejection, Revision, VersionedObject,
    port::{PlaintextSecret, PublishedState},
    recompile,
};
use toolgate_model::{ObjectId as _, Organization, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::resource_name;

use crate::{
    api_context::{ApiContext, WriteOutcome, WriteRequest, wait_published},
    caller::AdminCaller,
    kinds::{AdminResource, objects_of_org, owner, show},
    masks,
    pages::{self, PageQuery},
    status,
};

/// Common fields of a create request.
pub(crate) struct CreateRequest<P> {
    /// `organizations/<org>`; `None` for organizations.
    pub(crate) parent: Option<String>,
    pub(crate) id: String,
    pub(crate) message: Option<P>,
}

/// Common fields of a list request.
pub(crate) struct ListRequest {
    /// `organizations/<org>`; `None` for organizations.
    pub(crate) parent: Option<String>,
    pub(crate) page_size: i32,
    pub(crate) page_token: String,
}

/// Page of a list.
pub(crate) struct ObjectPage<P> {
    pub(crate) items: Vec<P>,
    pub(crate) next: String,
}

/// Returns one object.
pub(crate) fn get<R: AdminResource>(
    edge: &ApiContext,
    caller: &AdminCaller,
    name: &str,
) -> Result<R::Proto, Status> {
    let id =
        resource_name::parse::<R>(name).map_err(|error| status::invalid_name("name", &error))?;
    caller.require_in_org(owner::<R>(&id), &R::key(id.clone()))?;
    let published = edge.published();
    let stored = stored::<R>(&published, &id)?;
    Ok(show::<R>(&id, stored, &published, edge.state.now()))
}

/// Returns one page of objects, ordered by id.
pub(crate) fn list<R: AdminResource>(
    edge: &ApiContext,
    caller: &AdminCaller,
    request: &ListRequest,
) -> Result<ObjectPage<R::Proto>, Status> {
    let size = pages::size(request.page_size)?;
    let scope = request.parent.as_deref().unwrap_or_default();
    let org = match &request.parent {
        Some(parent) => Some(organization(edge, caller, parent)?),
        None => None,
    };
    let query = PageQuery {
        cursors: &*edge.cursors,
        caller,
        scope,
    };
    let wrong = |error| status::invalid_name("page_token", &error);
    let after = query.after(&request.page_token)?;
    let after = after
        .map(|name| resource_name::parse::<R>(&name).map_err(wrong))
        .transpose()?;
    let published = edge.published();
    let found = match &org {
        Some(org) => objects_of_org::<R>(&published.state, org, after.as_ref(), size + 1),
        None => {
            let all = R::table(&published.state).after(after.as_ref());
            let visible = all.filter(|(id, _)| caller.may_in(owner::<R>(id)));
            let owned = visible.map(|(id, stored)| (id.clone(), stored));
            owned.take(size + 1).collect()
        }
    };
    let mut page = ObjectPage {
        items: Vec::new(),
        next: String::new(),
    };
    let mut bytes = 0;
    let mut last = None;
    for (id, stored) in found {
        if page.items.len() == size || bytes >= pages::MAX_BYTES {
            page.next = last.map_or_else(String::new, |last| {
                query.token(&resource_name::format::<R>(&last))
            });
            break;
        }
        let message = show::<R>(&id, stored, &published, edge.state.now());
        bytes += message.encoded_len();
        page.items.push(message);
        last = Some(id);
    }
    Ok(page)
}

/// Creates an object that does not exist yet. Also returns the secret that was created with it, if any.
pub(crate) async fn create<R: AdminResource>(
    edge: &ApiContext,
    write: WriteRequest<'_>,
    request: CreateRequest<R::Proto>,
) -> Result<(R::Proto, Option<PlaintextSecret>), Status> {
    let org = match &request.parent {
        Some(parent) => Some(organization(edge, write.caller, parent)?),
        None => None,
    };
    let field = format!("{}_id", R::KIND.field());
    if request.id.is_empty() {
        return Err(status::invalid(field, "is required: choose an id"));
    }
    let id: Slug = request
        .id
        .parse()
        .map_err(|error| status::invalid(&field, error))?;
    let id = R::Id::from_parts(org, id)
        .ok_or_else(|| status::invalid("parent", "is required: set it"))?;
    if !write.caller.may_in(owner::<R>(&id)) {
        write.caller.require_globally()?;
    }
    let mut message = request.message.unwrap_or_default();
    set_name::<R>(&mut message, &id)?;
    let mut prepared = R::prepare(&edge.secrets, &message, None)?;
    let secret = prepared.secret.take();
    let done = edge
        .submit(&write, Command::Create(prepared.desired))
        .await?;
    // A replayed request finds the object that the first request created, with the first secret. The new secret is not
    // valid.
    let secret = secret.filter(|_| !write.dry_run && !done.change.replayed);
    Ok((written_object::<R>(edge, &id, &done)?, secret))
}

/// Replaces the fields of an object that the mask names.
pub(crate) async fn update<R: AdminResource>(
    edge: &ApiContext,
    mut write: WriteRequest<'_>,
    message: Option<R::Proto>,
    mask: Option<FieldMask>,
) -> Result<R::Proto, Status> {
    let missing = || status::invalid(R::KIND.as_str(), "is required: send the object");
    let mut given = message.ok_or_else(missing)?;
    let metadata = R::metadata(&mut given).take().unwrap_or_default();
    let path = |field: &str| format!("{}.metadata.{field}", R::KIND.as_str());
    let id = resource_name::parse::<R>(&metadata.name)
        .map_err(|e| status::invalid_name(&path("name"), &e))?;
    write
        .caller
        .require_in_org(owner::<R>(&id), &R::key(id.clone()))?;
    if metadata.resource_version.is_empty() {
        let reason = "is required: read the object, change it, and send its version back";
        return Err(status::invalid(path("resource_version"), reason));
    }
    let expected = parse_revision(&path("resource_version"), &metadata.resource_version)?;
    write.resource_version = Some(metadata.resource_version.clone());
    *R::metadata(&mut given) = Some(metadata);
    let published = published_at_least::<R>(edge, &id, expected).await?;
    let stored = stored::<R>(&published, &id)?;
    check_system_owned(write.caller, &*stored.object)?;
    let merged = masks::apply::<R>(&stored.object.to_message(), &given, mask.as_ref())?;
    let prepared = R::prepare(&edge.secrets, &merged, Some(&stored.object))?;
    let command = Command::Update {
        object: prepared.desired,
        expected,
    };
    let done = edge.submit(&write, command).await?;
    written_object::<R>(edge, &id, &done)
}

pub(crate) async fn delete<R: AdminResource>(
    edge: &ApiContext,
    mut write: WriteRequest<'_>,
    name: &str,
    resource_version: &str,
) -> Result<(), Status> {
    let id =
        resource_name::parse::<R>(name).map_err(|error| status::invalid_name("name", &error))?;
    let key = R::key(id.clone());
    if !write.caller.may_in(owner::<R>(&id)) {
        return Err(status::not_found(&key));
    }
    let published = edge.published();
    if let Some(stored) = R::table(&published.state).get(&id) {
        check_system_owned(write.caller, &*stored.object)?;
    }
    let expected = match resource_version {
        "" => None,
        given => Some(parse_revision("resource_version", given)?),
    };
    write.resource_version = Some(resource_version.to_owned());
    edge.submit(&write, Command::Delete { key, expected })
        .await?;
    Ok(())
}

/// Returns the object that a change wrote, as the caller sees it.
pub(crate) fn written_object<R: AdminResource>(
    edge: &ApiContext,
    id: &R::Id,
    done: &WriteOutcome,
) -> Result<R::Proto, Status> {
    let (published, now) = (edge.published(), edge.state.now());
    let object = done.change.written().and_then(R::of_object);
    let Some(object) = object else {
        // Nothing was written: a replayed request, or an update without a change.
        return Ok(show::<R>(id, stored::<R>(&published, id)?, &published, now));
    };
    let stored = VersionedObject {
        object: object.clone(),
        mod_revision: done.revision.unwrap_or_default(),
    };
    if done.revision.is_some() {
        return Ok(show::<R>(id, &stored, &published, now));
    }
    let after = published_after(&published, &done.change);
    let mut message = show::<R>(id, &stored, &after, now);
    if let Some(metadata) = R::metadata(&mut message) {
        metadata.resource_version.clear();
    }
    Ok(message)
}

/// Computes the published state after a change, so that a dry run shows the same tools and problems as the real write.
fn published_after(published: &PublishedState, change: &Change) -> PublishedState {
    let state = published.state.after_change(change);
    let compiled = recompile(&state, &published.compiled);
    PublishedState {
        state: Arc::new(state),
        compiled: Arc::new(compiled),
        refusal: published.refusal.clone(),
    }
}

/// Rejects changes to system-owned objects by any caller but the system identity. Such an object keeps the deployment
/// reachable, although it belongs to an organization.
pub(crate) fn check_system_owned<R: AdminResource>(
    caller: &AdminCaller,
    stored: &R,
) -> Result<(), Status> {
    if stored.is_system_owned() && caller.identity != CallerIdentity::System {
        return Err(status::denied(
            caller.method,
            "the system token",
            &caller.author(),
        ));
    }
    Ok(())
}

/// Parses `parent`. Succeeds if the organization exists and the caller has the right of its request in it.
pub(crate) fn organization(
    edge: &ApiContext,
    caller: &AdminCaller,
    parent: &str,
) -> Result<Slug, Status> {
    let org = resource_name::parse::<Organization>(parent);
    let org = org.map_err(|error| status::invalid_name("parent", &error))?;
    let key = ObjectKey::Organization(org.clone());
    caller.require_in_org(&org, &key)?;
    let state = &edge.published().state;
    if state.organizations.contains(&org) || state.quarantined(&key).is_some() {
        return Ok(org);
    }
    Err(status::not_found(&key))
}

/// Returns a published state in which the object is at least as new as `expected`, so that fields outside the mask are
/// not older than what the caller read. A newer object is left to the core to judge, because the request may be a
/// retry.
async fn published_at_least<R: AdminResource>(
    edge: &ApiContext,
    id: &R::Id,
    expected: Revision,
) -> Result<Arc<PublishedState>, Status> {
    let behind = |published: &PublishedState| {
        let stored = R::table(&published.state).get(id);
        published.state.revision() < expected || stored.is_some_and(|s| s.mod_revision < expected)
    };
    let published = edge.published();
    if !behind(&published) {
        return Ok(published);
    }
    wait_published(&*edge.state, expected).await;
    let published = edge.published();
    if !behind(&published) {
        return Ok(published);
    }
    match R::table(&published.state).get(id) {
        // The wait was long enough: the revision was never written, or belongs to a store that was restored since.
        Some(stored) => Err(status::unknown_version(
            &R::key(id.clone()),
            stored.mod_revision,
            expected,
        )),
        None => {
            let message = "this control plane has not seen that version yet; try again in a moment";
            Err(status::unavailable("BEHIND", message.to_owned()))
        }
    }
}

fn stored<'a, R: AdminResource>(
    published: &'a PublishedState,
    id: &R::Id,
) -> Result<&'a VersionedObject<R>, Status> {
    if let Some(stored) = R::table(&published.state).get(id) {
        return Ok(stored);
    }
    let key = R::key(id.clone());
    Err(match published.state.quarantined(&key) {
        Some(quarantined) => {
            let reason = quarantined.reason.clone();
            status::rejected(&Rejection::Quarantined { key, reason }, None)
        }
        None => status::not_found(&key),
    })
}

/// Sets the name in a message that is to be created. A name that is already set must be equal.
fn set_name<R: AdminResource>(message: &mut R::Proto, id: &R::Id) -> Result<(), Status> {
    let name = resource_name::format::<R>(id);
    let metadata = R::metadata(message).get_or_insert_with(pb::Metadata::default);
    if !metadata.name.is_empty() && metadata.name != name {
        let reason = format!("is not `{name}`, which parent and id make: leave it empty");
        return Err(status::invalid(
            format!("{}.metadata.name", R::KIND.as_str()),
            reason,
        ));
    }
    metadata.name = name;
    Ok(())
}

fn parse_revision(field: &str, given: &str) -> Result<u64, Status> {
    let canonical = given.parse::<u64>().ok().filter(|r| r.to_string() == given);
    canonical.ok_or_else(|| {
        status::invalid(
            field,
            "is not a resource version: send the one that was read, as it is",
        )
    })
}
