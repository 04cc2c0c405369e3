//! Tests of the construction from the view before: it has the result of one from scratch, and costs what was written.

use toolgate_model::{ObjectName, ResourceRejection};

use super::*;

/// Write of one entry; `None` removes it.
type Write = (ResourceKey, Option<SnapshotResource>);

fn of_test_snapshot(kind: SnapshotResourceKind, id: &str) -> SnapshotResource {
    let snapshot = test_snapshot(&test_servers());
    SnapshotResource::clone(&snapshot.entries[&key(kind, "acme", id)].resource)
}

fn server_variant(id: &str, url: &str) -> SnapshotResource {
    let mut resource = of_test_snapshot(SnapshotResourceKind::Server, id);
    if let SnapshotResource::Server(server) = &mut resource {
        server.endpoints = endpoints(url);
    }
    resource
}

fn definitions_variant(id: &str, tools: usize) -> SnapshotResource {
    let mut resource = of_test_snapshot(SnapshotResourceKind::Catalogue, id);
    if let SnapshotResource::Catalogue(definitions) = &mut resource {
        definitions.tools.truncate(tools);
    }
    resource
}

fn some_write() -> impl Strategy<Value = Write> {
    let server_id = || proptest::sample::select(vec!["weather", "files"]);
    let org = || proptest::sample::select(vec!["acme", "evil"]);
    let url = proptest::sample::select(vec![
        "https://one.example/mcp",
        "https://two.example/mcp",
        "file:///etc/passwd",
    ]);
    let server = (org(), server_id(), proptest::option::of(url)).prop_map(|(org, id, url)| {
        let resource = url.map(|url| server_variant(id, url));
        (key(SnapshotResourceKind::Server, org, id), resource)
    });
    let tools = proptest::option::of(0..3_usize);
    let definitions = (org(), server_id(), tools).prop_map(|(org, id, tools)| {
        let resource = tools.map(|tools| definitions_variant(id, tools));
        (key(SnapshotResourceKind::Catalogue, org, id), resource)
    });
    let gateway_id = proptest::sample::select(vec!["main", "side", "last"]);
    let offers = proptest::option::of(0..3_usize);
    let gateway = (org(), gateway_id, offers).prop_map(|(org, id, offers)| {
        let servers = test_servers();
        let resource = offers.map(|offers| gateway(&servers[offers.min(1)..offers.max(1)]));
        let resource = resource.map(SnapshotResource::Gateway);
        (key(SnapshotResourceKind::Gateway, org, id), resource)
    });
    let token_id = proptest::sample::select(vec!["a", "b", "c"]);
    let secret = proptest::option::of(proptest::sample::select(vec!["one", "two"]));
    let token = (org(), token_id, secret).prop_map(|(org, id, secret)| {
        let resource = secret.map(|secret| SnapshotResource::Token(token(secret)));
        (key(SnapshotResourceKind::Token, org, id), resource)
    });
    prop_oneof![server, definitions, gateway, token]
}

fn apply(snapshot: &mut Snapshot, writes: Vec<Write>) {
    for (key, resource) in writes {
        match resource {
            Some(resource) => snapshot.entries.insert(key, SnapshotEntry::new(resource)),
            None => snapshot.entries.remove(&key),
        };
    }
}

/// Returns the same snapshot, which is not derived from any other.
fn unrelated(snapshot: &Snapshot) -> Snapshot {
    let entries = snapshot.entries.iter();
    Snapshot {
        version: snapshot.version,
        entries: entries.map(|(k, e)| (k.clone(), e.clone())).collect(),
    }
}

fn described(view: &View, rejections: &[ResourceRejection]) -> Vec<String> {
    let gateways = view.gateways().map(|gateway| {
        let tools: Vec<_> = gateway.tools().iter().map(|it| &it.exposed).collect();
        let servers: Vec<_> = gateway.servers.iter().map(|it| it.identity()).collect();
        format!(
            "{} {:?} {tools:?} {servers:?}",
            gateway.name, gateway.digest
        )
    });
    let servers = view.servers().map(|it| format!("{it:?}"));
    let callers = view.callers().map(|it| {
        format!(
            "{:?} {:?} {:?}",
            it.principal(),
            it.grant(),
            it.authn().id == authn_id("one")
        )
    });
    let mut rejections: Vec<String> = rejections.iter().map(|it| format!("{it:?}")).collect();
    rejections.sort();
    let counts = [format!("{:?}", view.counts())];
    gateways
        .chain(servers)
        .chain(callers)
        .chain(rejections)
        .chain(counts)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_view_built_from_the_one_before_equals_one_built_as_a_whole(
        steps in proptest::collection::vec(proptest::collection::vec(some_write(), 0..4), 1..12),
    ) {
        let mut snapshot = Snapshot::default();
        let (mut view, _) = View::build(&snapshot, None);
        for writes in steps {
            apply(&mut snapshot, writes);
            // The last good form of a server is that of the view before in both cases.
            let (whole, rejected) = View::build(&unrelated(&snapshot), Some(&view));
            let whole = described(&whole, &rejected);
            let (next, rejected) = View::build(&snapshot, Some(&view));
            prop_assert_eq!(described(&next, &rejected), whole);
            view = next;
        }
        // Nothing is left of what is gone.
        let all: Vec<_> = snapshot.entries.keys().cloned().map(|key| (key, None)).collect();
        apply(&mut snapshot, all);
        let (empty, rejected) = View::build(&snapshot, Some(&view));
        prop_assert_eq!(described(&empty, &rejected), described(&View::empty(), &[]));
        prop_assert!(empty.is_free_of_leftovers());
    }
}

impl View {
    fn is_free_of_leftovers(&self) -> bool {
        let indexes = [
            self.gateways_by_server.is_empty(),
            self.gateways_by_id.is_empty(),
            self.tokens_by_id.is_empty(),
            self.principals.is_empty(),
            self.grants.is_empty(),
            self.rejections.is_empty(),
        ];
        indexes.into_iter().all(|is_empty| is_empty)
    }
}

/// A push that changes one gateway of many looks at that one.
#[test]
fn a_change_costs_what_it_touches_and_not_what_is_there() {
    let visited = [100, 2_000].map(|size| {
        let mut snapshot = test_snapshot(&test_servers());
        let empty = SnapshotEntry::new(SnapshotResource::Gateway(gateway(&[])));
        let weather = SnapshotEntry::new(SnapshotResource::Gateway(gateway(&test_servers()[..1])));
        for number in 0..size {
            let key = key(SnapshotResourceKind::Gateway, "acme", &format!("g{number}"));
            snapshot.entries.insert(key, empty.clone());
        }
        let (before, _) = View::build(&snapshot, None);
        assert_eq!(before.visited(), snapshot.entries.len());
        let one = key(SnapshotResourceKind::Gateway, "acme", "g7");
        snapshot.entries.insert(one, weather);
        let (after, _) = View::build(&snapshot, Some(&before));
        assert_eq!(after.gateway("g7").unwrap().tools().len(), 2);
        let shared =
            |id: &str| Arc::ptr_eq(before.gateway(id).unwrap(), after.gateway(id).unwrap());
        assert!(shared("g8") && shared("main") && !shared("g7"));
        // A server is looked at with the gateways over it, which are two.
        let server: ObjectName = name("acme", "weather");
        edit_server(&mut snapshot, server.id.as_str(), |server| {
            server.endpoints = endpoints("https://new.example/")
        });
        let (last, _) = View::build(&snapshot, Some(&after));
        let rebuilt = last.gateways().filter(|gateway| {
            let former = after.gateway(gateway.name.id.as_str()).unwrap();
            !Arc::ptr_eq(former, gateway)
        });
        assert_eq!(rebuilt.count(), 2);
        [after.visited(), last.visited()]
    });
    assert_eq!(visited, [[1, 1], [1, 1]]);
}

/// A definition is read for the first gateway that exposes it. The number of gateways does not multiply the cost of large
/// definitions, neither at the start nor with a change.
#[test]
fn definitions_are_read_once_for_all_gateways_that_expose_them() {
    let reads = [1, 300].map(|size| {
        let mut snapshot = test_snapshot(&test_servers());
        let all = SnapshotEntry::new(SnapshotResource::Gateway(gateway(&test_servers())));
        for number in 0..size {
            let key = key(SnapshotResourceKind::Gateway, "acme", &format!("g{number}"));
            snapshot.entries.insert(key, all.clone());
        }
        let (start, rejections) = View::build(&snapshot, None);
        assert!(rejections.is_empty(), "{rejections:?}");
        let one = key(SnapshotResourceKind::Gateway, "acme", "g0");
        let fewer = SnapshotEntry::new(SnapshotResource::Gateway(gateway(&test_servers()[..1])));
        snapshot.entries.insert(one, fewer);
        let (gateway_changed, _) = View::build(&snapshot, Some(&start));
        edit_server(&mut snapshot, "weather", |server| {
            server.endpoints = endpoints("https://new.example/")
        });
        let (server_changed, _) = View::build(&snapshot, Some(&gateway_changed));
        [&start, &gateway_changed, &server_changed].map(View::definition_reads)
    });
    assert_eq!(reads[0], reads[1]);
    let [start, gateway_changed, server_changed] = reads[0];
    assert_eq!(gateway_changed, 0);
    assert!((1..start).contains(&server_changed), "{reads:?}");
}
