//! Tests that writes are published, that one of two conflicting writers wins, and that a store that does not respond
//! delays callers only for a bounded time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::timeout;
use toolgate_control_core::{
    Command, CommandContext, ControlObject, JoinToken, ObjectKey, OperatorObject, Rejection,
    RequestId,
    definitions::DefinitionsWrites,
    limits,
    port::{MAX_TXN_OPS, StoreError, SubmitError, Txn, WriteOp},
};
use toolgate_model::{
    Definition, Digest, ResourceKey, ServerDefinitions, SnapshotResourceKind, TokenHash,
};

use crate::{
    bootstrap,
    fixture::{
        FaultyStore, HANG_GUARD, WritePathFixture, catalogue, context, credential, gateway, memory,
        name, organization, ready, server, slug, start, token,
    },
    record_codec,
};

mod over_etcd;

#[tokio::test]
async fn a_write_is_published_and_compiled() {
    let plane = ready(memory()).await;
    plane
        .create(OperatorObject::Server(server("files")))
        .await
        .unwrap();
    plane
        .run(Command::RecordDefinitions(catalogue("files")))
        .await
        .unwrap();
    let done = plane
        .create(OperatorObject::Gateway(gateway("tools", "files")))
        .await
        .unwrap();
    plane.shows(|state| state.revision() >= done.revision).await;
    let published = plane.published();
    let key = ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: name("tools"),
    };
    assert!(published.compiled.snapshot.entries.contains_key(&key));
    assert_eq!(
        published.compiled.snapshot.version,
        published.state.version()
    );
    assert_eq!(published.compiled.snapshot.version.revision, done.revision);
}

/// Definitions of a server with this many tools of a usual size.
fn large_definitions(id: &str, count: usize) -> ServerDefinitions {
    let tool = |n: usize| {
        let json = format!(
            "{{\"name\":\"t{n}\",\"description\":\"{}\"}}",
            "x".repeat(1_000)
        );
        Definition {
            name: format!("t{n}"),
            digest: Digest::of_bytes(json.as_bytes()),
            json: json.into(),
        }
    };
    ServerDefinitions {
        tools: (0..count).map(tool).collect(),
        ..catalogue(id)
    }
}

#[tokio::test]
async fn ten_thousand_tools_are_stored_compiled_and_read_again_after_a_restart() {
    let store = memory();
    let plane = ready(Arc::clone(&store)).await;
    plane
        .create(OperatorObject::Server(server("files")))
        .await
        .unwrap();
    let whole = large_definitions("files", 10_000);
    let writes = DefinitionsWrites::of(&whole, &plane.published().state);
    assert!(writes.parts.len() > 10, "{}", writes.parts.len());
    for part in writes.parts {
        let command = Command::RecordDefinitionsPart(part);
        plane.run(command).await.unwrap();
    }
    let command = Command::RecordDefinitions(whole.clone());
    while plane
        .run(command.clone())
        .await
        .unwrap()
        .change
        .is_preparation()
    {}
    let has_all = |state: &toolgate_control_core::StoreState| {
        let found = state.definitions.get(&name("files"));
        found.is_some_and(|found| found.lists() == whole.lists())
    };
    plane.shows(has_all).await;
    let bound = OperatorObject::Gateway(gateway("tools", "files"));
    plane.create(bound).await.unwrap();
    let restarted = start(store);
    restarted.shows(has_all).await;
    let published = restarted.published();
    assert!(published.state.quarantine.is_empty());
    let key = ResourceKey {
        kind: SnapshotResourceKind::Catalogue,
        name: name("files"),
    };
    let entry = &published.compiled.snapshot.entries[&key];
    let toolgate_model::SnapshotResource::Catalogue(compiled) = &*entry.resource else {
        panic!("{key} is of another kind");
    };
    assert_eq!(compiled.tools, whole.tools);
}

#[tokio::test]
async fn a_rejection_writes_nothing() {
    let plane = ready(memory()).await;
    let before = plane.published().state.revision();
    let refused = plane
        .create(OperatorObject::Gateway(gateway("tools", "gone")))
        .await;
    assert!(
        matches!(
            refused,
            Err(SubmitError::Rejected(Rejection::Invalid { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(plane.published().state.revision(), before);
}

/// Increments a label `times` times, retrying stale writes.
async fn add(plane: &WritePathFixture, times: u32) {
    let mut left = times;
    while left > 0 {
        let state = plane.writer.current();
        let stored = state.servers.get(&name("counter")).unwrap();
        let mut next = (*stored.object).clone();
        let count = next
            .meta
            .labels
            .get("n")
            .map_or(0, |n| n.parse::<u32>().unwrap());
        next.meta
            .labels
            .insert("n".to_owned(), (count + 1).to_string());
        let object = OperatorObject::Server(next);
        let expected = stored.mod_revision;
        match plane.run(Command::Update { object, expected }).await {
            Ok(_) => left -= 1,
            Err(SubmitError::Rejected(Rejection::Stale { .. }) | SubmitError::Contended) => {
                tokio::task::yield_now().await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_between_two_control_planes() {
    let store = memory();
    let one = ready(Arc::clone(&store)).await;
    let two = ready(store).await;
    let done = one
        .create(OperatorObject::Server(server("counter")))
        .await
        .unwrap();
    two.shows(|state| state.revision() >= done.revision).await;
    one.shows(|state| state.revision() >= done.revision).await;
    let planes = [&one, &two];
    join_all((0..8).map(|n| add(planes[n % 2], 10))).await;
    let is_80 = |state: &toolgate_control_core::StoreState| {
        let stored = state.servers.get(&name("counter")).unwrap();
        stored.meta.labels.get("n").map(String::as_str) == Some("80")
    };
    one.shows(is_80).await;
    two.shows(is_80).await;
}

/// Returns a control plane whose next `times` commits another one overtakes, and its store.
async fn overtaken(times: u64) -> (WritePathFixture, Arc<FaultyStore>) {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    plane
        .create(OperatorObject::Server(server("first")))
        .await
        .unwrap();
    store.overtaken.store(times, Ordering::Relaxed);
    (plane, store)
}

#[tokio::test]
async fn a_writer_that_other_control_planes_overtake_many_times_is_not_refused() {
    let (plane, store) = overtaken(50).await;
    plane
        .create(OperatorObject::Server(server("second")))
        .await
        .unwrap();
    assert_eq!(store.overtaken.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_writer_that_is_always_overtaken_is_refused_when_its_time_is_over() {
    let (plane, store) = overtaken(u64::MAX).await;
    let refused = plane.create(OperatorObject::Server(server("second")));
    let refused = timeout(HANG_GUARD, refused).await.expect("no hang");
    assert_eq!(refused, Err(SubmitError::Contended));
    store.overtaken.store(0, Ordering::Relaxed);
    plane
        .create(OperatorObject::Server(server("second")))
        .await
        .unwrap();
}

/// Runs a command while another control plane changes other objects before each of its commits. Returns the number of
/// commits that it takes.
async fn commits_beside_other_changes(
    plane: &WritePathFixture,
    store: &FaultyStore,
    command: Command,
) -> u64 {
    // The command starts from a state that includes what was written before it.
    plane.writer.catch_up(&[]).await.unwrap();
    let before = store.commits.load(Ordering::Relaxed);
    store.other_changes.store(1, Ordering::Relaxed);
    plane.run(command).await.unwrap();
    store.commits.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn a_change_of_other_objects_by_another_control_plane_does_not_overtake_a_write() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    let mut described = server("files");
    described.meta.description = "Files".to_owned();
    let creates = [
        OperatorObject::Server(server("files")),
        OperatorObject::Gateway(gateway("tools", "files")),
        OperatorObject::Token(token("ci")),
    ];
    for object in creates {
        let key = object.key();
        let commits = commits_beside_other_changes(&plane, &store, Command::Create(object)).await;
        assert_eq!(commits, 1, "create {key}");
    }
    let update = Command::Update {
        object: OperatorObject::Server(described),
        expected: plane
            .writer
            .current()
            .servers
            .get(&name("files"))
            .unwrap()
            .mod_revision,
    };
    let delete = |key| Command::Delete {
        key,
        expected: None,
    };
    let narrow = [
        update,
        Command::RecordDefinitions(catalogue("files")),
        Command::RevokeToken(name("ci")),
        delete(ObjectKey::Gateway(name("tools"))),
    ];
    for command in narrow {
        let commits = commits_beside_other_changes(&plane, &store, command.clone()).await;
        assert_eq!(commits, 1, "{command:?}");
    }
    // The other change may be a gateway that binds the server.
    let server = delete(ObjectKey::Server(name("files")));
    let commits = commits_beside_other_changes(&plane, &store, server).await;
    assert_eq!(commits, 2, "the deletion of a server is decided again");
}

/// Runs a command through each of two control planes at the same time.
async fn at_once(planes: &[WritePathFixture; 2], commands: [Command; 2]) -> [bool; 2] {
    let [one, two] = commands;
    let (one, two) = tokio::join!(planes[0].run(one), planes[1].run(two));
    for result in [&one, &two] {
        let is_decided = matches!(result, Ok(_) | Err(SubmitError::Rejected(_)));
        assert!(is_decided, "{result:?}");
    }
    [one.is_ok(), two.is_ok()]
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_that_exclude_each_other_are_never_both_committed_by_two_control_planes() {
    let store = memory();
    let planes = [ready(Arc::clone(&store)).await, ready(store).await];
    let create = |object: OperatorObject| Command::Create(object);
    let delete = |key: ObjectKey| Command::Delete {
        key,
        expected: None,
    };
    for round in 0..40 {
        let (id, other) = (format!("o{round}"), format!("p{round}"));
        let (held, used) = (&planes[round % 2], name(&id));
        let credential = credential(&id);
        held.create(OperatorObject::Credential(credential))
            .await
            .unwrap();
        held.create(OperatorObject::Server(server(&id)))
            .await
            .unwrap();
        // A server is deleted while a gateway binds it.
        let commands = [
            delete(ObjectKey::Server(used.clone())),
            create(OperatorObject::Gateway(gateway(&id, &id))),
        ];
        let [deleted, bound] = at_once(&planes, commands).await;
        assert!(deleted != bound, "round {round}: {deleted} {bound}");
        // A credential is deleted while a server is given it.
        let mut with_credential = server(&other);
        with_credential.credential = Some(slug(&id));
        let commands = [
            create(OperatorObject::Server(with_credential)),
            delete(ObjectKey::Credential(used)),
        ];
        let [named, deleted] = at_once(&planes, commands).await;
        assert!(named != deleted, "round {round}: {named} {deleted}");
        // The same name is given twice.
        let twice = create(OperatorObject::Token(token(&id)));
        let [first, second] = at_once(&planes, [twice.clone(), twice]).await;
        assert!(first != second, "round {round}: {first} {second}");
    }
}

fn join_token(n: usize) -> JoinToken {
    JoinToken {
        hash: TokenHash(Digest::of_bytes(format!("join {n}").as_bytes()).0),
        region: String::new(),
        expires: context().now.after(Duration::from_secs(60)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_control_planes_together_make_no_more_join_tokens_than_the_limit() {
    let store = memory();
    let planes = [
        ready(Arc::clone(&store)).await,
        ready(Arc::clone(&store)).await,
    ];
    let writes = |from: usize, until: usize| {
        let write = |n: usize| {
            let token = join_token(n);
            let key = ObjectKey::JoinToken(Digest(token.hash.0)).to_string();
            let object = ControlObject::JoinToken(token);
            let value = record_codec::encode(&object, context().now, "test");
            let lease = None;
            WriteOp::Put { key, value, lease }
        };
        (from..until).map(write).collect::<Vec<_>>()
    };
    let existing = limits::JOIN_TOKENS - 10;
    for from in (0..existing).step_by(MAX_TXN_OPS) {
        let writes = writes(from, existing.min(from + MAX_TXN_OPS));
        let compares = Vec::new();
        store.commit(Txn { compares, writes }).await.unwrap();
    }
    for plane in &planes {
        plane
            .shows(|state| state.join_tokens.len() == existing)
            .await;
    }
    let creates = (0..40).map(|n| {
        let token = join_token(limits::JOIN_TOKENS + n);
        planes[n % 2].run(Command::CreateJoinToken(token))
    });
    let created = join_all(creates).await;
    let created = created.into_iter().filter(|result| match result {
        Ok(_) => true,
        Err(SubmitError::Rejected(Rejection::Limit { .. })) => false,
        Err(other) => panic!("{other}"),
    });
    assert_eq!(created.count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_planes_that_start_concurrently_agree() {
    let store = memory();
    let planes = [
        start(Arc::clone(&store)),
        start(Arc::clone(&store)),
        start(store),
    ];
    for plane in &planes {
        plane.readiness.ready().await;
    }
    let org = slug("acme");
    let prepared = planes
        .iter()
        .map(|plane| bootstrap::prepare(&plane.writer, &org, 0));
    for result in join_all(prepared).await {
        result.unwrap();
    }
    for plane in &planes {
        plane
            .shows(|state| state.organizations.len() == 1 && state.epoch() == 1)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_store_blocks_callers_only_until_the_timeout() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    store.commit_delay_millis.store(2_000, Ordering::Relaxed);
    let writes =
        (0..20).map(|n| plane.create(OperatorObject::Organization(organization(&format!("o{n}")))));
    let all = timeout(HANG_GUARD, join_all(writes)).await;
    for result in
        all.expect("every writer is answered when its turn and the store have taken their time")
    {
        assert!(
            matches!(result, Err(SubmitError::Store(StoreError::Unavailable(_)))),
            "{result:?}"
        );
    }
    // Each turn takes two seconds: those whose turn does not come in time give up, and try nothing.
    let stuck = store.stuck.load(Ordering::Relaxed);
    assert!((1..20).contains(&stuck), "{stuck} of twenty");
    store.commit_delay_millis.store(0, Ordering::Relaxed);
    plane
        .create(OperatorObject::Organization(organization("after")))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_commit_result_is_recovered_by_its_request_id() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    let request = Some(RequestId {
        id: "r1".to_owned(),
        digest: Digest::of_bytes(b"create token"),
    });
    let context = CommandContext {
        request,
        ..context()
    };
    let create = Command::Create(OperatorObject::Token(token("ci")));
    store.loses_responses.store(true, Ordering::Relaxed);
    let lost = plane.writer.write(&create, &context).await;
    assert!(
        matches!(lost, Err(SubmitError::Store(StoreError::Unavailable(_)))),
        "{lost:?}"
    );
    store.loses_responses.store(false, Ordering::Relaxed);
    plane
        .shows(|state| state.tokens.contains(&name("ci")))
        .await;
    let again = plane.writer.write(&create, &context).await.unwrap();
    assert!(again.change.replayed);
}

#[tokio::test]
async fn a_write_behind_a_lossy_watch_triggers_a_full_listing() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    let other = ready(store.clone()).await;
    // Watches opened from here on deliver no events.
    store.drops_one_in.store(1, Ordering::Relaxed);
    let deaf = start(store.clone());
    deaf.readiness.ready().await;
    other
        .create(OperatorObject::Server(server("files")))
        .await
        .unwrap();
    let written = timeout(
        HANG_GUARD,
        deaf.create(OperatorObject::Server(server("mail"))),
    )
    .await;
    written.expect("found out in time").unwrap();
    drop(plane);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_in_a_row_through_two_control_planes_are_never_falsely_rejected() {
    let store = memory();
    let planes = [ready(Arc::clone(&store)).await, ready(store).await];
    let mut bound = gateway("tools", "s0");
    for n in 0..200 {
        let (first, second) = (&planes[n % 2], &planes[(n + 1) % 2]);
        let (server_id, token_id) = (format!("s{n}"), format!("t{n}"));
        let created = [
            OperatorObject::Server(server(&server_id)),
            OperatorObject::Token(token(&token_id)),
        ];
        for object in created {
            first.create(object).await.unwrap();
        }
        let revoke = Command::RevokeToken(name(&token_id));
        second.run(revoke).await.unwrap();
        bound.name = name(&format!("g{n}"));
        bound.bindings[0].server = slug(&server_id);
        second
            .create(OperatorObject::Gateway(bound.clone()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_control_plane_whose_watch_is_silent_rejects_only_what_the_store_rejects() {
    let store = FaultyStore::new();
    let other = ready(store.clone()).await;
    store.drops_one_in.store(1, Ordering::Relaxed);
    let deaf = start(store.clone());
    deaf.readiness.ready().await;
    for n in 0..5 {
        let id = format!("s{n}");
        other
            .create(OperatorObject::Server(server(&id)))
            .await
            .unwrap();
        let over_it = OperatorObject::Gateway(gateway(&format!("g{n}"), &id));
        let written = timeout(HANG_GUARD, deaf.create(over_it)).await;
        written.expect("no hang").unwrap();
    }
    let over_nothing = deaf.create(OperatorObject::Gateway(gateway("g", "gone")));
    let rejected = timeout(HANG_GUARD, over_nothing).await.expect("no hang");
    assert!(
        matches!(rejected, Err(SubmitError::Rejected(_))),
        "{rejected:?}"
    );
}

#[tokio::test]
async fn nothing_is_rejected_while_the_store_cannot_be_read() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    store.list_unavailable.store(true, Ordering::Relaxed);
    let unknown = plane
        .create(OperatorObject::Gateway(gateway("tools", "gone")))
        .await;
    assert!(
        matches!(unknown, Err(SubmitError::Store(StoreError::Unavailable(_)))),
        "{unknown:?}"
    );
    store.list_unavailable.store(false, Ordering::Relaxed);
    let rejected = plane
        .create(OperatorObject::Gateway(gateway("tools", "gone")))
        .await;
    assert!(
        matches!(rejected, Err(SubmitError::Rejected(_))),
        "{rejected:?}"
    );
}
