//! Twenty kinds of invalid resources in one push: each is refused by its name and with a reason, and everything else is
//! served all the time.

use toolgate_proto::push::v1::{Resource, resource::Body};

use super::*;

/// Resource of this kind and id, with a digest of the right length.
fn resource(kind: pb::Kind, id: usize, body: Option<Body>) -> Resource {
    Resource {
        key: Some(pb::ResourceKey {
            kind: kind.into(),
            org: "acme".to_owned(),
            id: format!("poison-{id}"),
        }),
        digest: vec![0; 32],
        body,
        continues: false,
    }
}

fn gateway(change: impl FnOnce(&mut pb::Gateway)) -> (pb::Kind, Body) {
    let tool = pb::Tool {
        exposed: "files__echo".to_owned(),
        server: "files".to_owned(),
        original: "echo".to_owned(),
        digest: vec![1; 32],
        shape: None,
    };
    let mut gateway = pb::Gateway {
        servers: vec!["files".to_owned()],
        tools: vec![tool],
        ..pb::Gateway::default()
    };
    change(&mut gateway);
    (pb::Kind::Gateway, Body::Gateway(gateway))
}

fn server(change: impl FnOnce(&mut pb::Server)) -> (pb::Kind, Body) {
    let mut server = pb::Server {
        url: "http://files.test/mcp".to_owned(),
        connect_ms: 1_000,
        first_byte_ms: 1_000,
        idle_ms: 1_000,
        total_ms: 1_000,
        ..pb::Server::default()
    };
    change(&mut server);
    (pb::Kind::Server, Body::Server(server))
}

fn catalogue(json: String) -> (pb::Kind, Body) {
    let tool = pb::Definition {
        name: "echo".to_owned(),
        digest: vec![1; 32],
        json,
    };
    let catalogue = pb::Catalogue {
        tools: vec![tool],
        capabilities_json: "{}".to_owned(),
        ..pb::Catalogue::default()
    };
    (pb::Kind::Catalogue, Body::Catalogue(catalogue))
}

fn token(change: impl FnOnce(&mut pb::Token)) -> (pb::Kind, Body) {
    let mut token = pb::Token {
        hash: vec![9; 32],
        subject: Some(pb::Subject {
            subject: Some(pb::subject::Subject::Organization(true)),
        }),
        ..pb::Token::default()
    };
    change(&mut token);
    (pb::Kind::Token, Body::Token(token))
}

fn limit(requests: u32, interval_ms: u64) -> pb::RateLimit {
    pb::RateLimit {
        scope: "gateway".to_owned(),
        per: "token".to_owned(),
        requests,
        interval_ms,
        ..pb::RateLimit::default()
    }
}

fn poisons() -> Vec<Resource> {
    let bodies = [
        gateway(|it| it.tools[0].exposed.clear()),
        gateway(|it| it.tools[0].server = "Not A Slug!".to_owned()),
        gateway(|it| it.tools[0].digest.truncate(3)),
        // 100,000 tools.
        gateway(|it| it.tools = vec![it.tools[0].clone(); 100_000]),
        gateway(|it| it.must_understand = vec!["a_lock_of_the_future".to_owned()]),
        gateway(|it| it.rate_limits = vec![limit(0, 1_000)]),
        gateway(|it| it.rate_limits = vec![limit(1, u64::MAX)]),
        gateway(|it| {
            it.tools[0].shape = Some(pb::ToolShape {
                fixed: [("n".to_owned(), "NaN".to_owned())].into(),
                ..pb::ToolShape::default()
            });
        }),
        gateway(|it| it.instructions = "x".repeat(10 * 1024 * 1024)),
        gateway(|it| it.timeouts_ms = [("files".to_owned(), u64::MAX)].into()),
        server(|it| it.url.clear()),
        server(|it| it.url = "file:///etc/passwd".to_owned()),
        server(|it| it.era = "future".to_owned()),
        server(|it| it.sharing = "everyone".to_owned()),
        // Refused by their digests at the latest.
        catalogue("{".to_owned()),
        catalogue("[".repeat(100_000)),
        catalogue(r#"{"name":"another","inputSchema":{"$ref":"\#"}}"#.to_owned()),
        token(|it| it.hash.truncate(31)),
        token(|it| it.subject = None),
        token(|it| it.gateways = vec!["../..".to_owned()]),
        // The body is not of the kind in the key.
        (pb::Kind::Gateway, token(|_| {}).1),
        // Valid, with a digest of other content.
        server(|_| {}),
    ];
    let numbered = bodies.into_iter().enumerate();
    let with_bodies = numbered.map(|(id, (kind, body))| resource(kind, id, Some(body)));
    let unknown = |id| resource(pb::Kind::Unspecified, id, None);
    let empty = |id| resource(pb::Kind::Server, id, None);
    with_bodies.chain([unknown(22), empty(23)]).collect()
}

#[tokio::test]
async fn twenty_kinds_of_poison_in_one_push_are_refused_by_name_while_the_rest_is_served() {
    let count = poisons().len();
    assert!(count >= 20, "{count}");
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    *fake.mutator.lock().unwrap() = Some(|update| {
        let mut keys = update.puts.iter().filter_map(|put| put.key.as_ref());
        if keys.any(|key| key.id == "fine") {
            update.puts.extend(poisons());
        }
    });
    let mut wanted = small(6);
    wanted.entries.extend([crate::fixture::token("fine", 9)]);
    fake.wanted.send_replace(wanted);
    until(|| {
        let [gateways, servers, tokens] = handle.current().counts();
        assert!(
            gateways >= 1 && servers == 1 && tokens >= 1,
            "served meanwhile"
        );
        !fake.nacks().is_empty()
    })
    .await;
    assert_eq!(*handle.version().borrow(), version(6));
    let nack = &fake.nacks()[0];
    let mut refused: Vec<(String, &str)> = nack
        .refused
        .iter()
        .map(|it| (it.key.as_ref().unwrap().id.clone(), it.reason.as_str()))
        .collect();
    refused.sort();
    let mut expected: Vec<String> = (0..count).map(|id| format!("poison-{id}")).collect();
    expected.sort();
    let names: Vec<&String> = refused.iter().map(|(id, _)| id).collect();
    assert_eq!(names, expected.iter().collect::<Vec<_>>());
    for (id, reason) in &refused {
        println!("{id}: {reason}");
        assert!(!reason.is_empty(), "{id}");
    }
    // Only the gateway with an unknown lock is there, and denies its own requests.
    assert_eq!(handle.current().counts(), [2, 1, 2]);
}

/// All streams are lost at the same time: the proxies do not come back at the same time.
#[tokio::test]
async fn proxies_whose_streams_end_at_once_reconnect_spread_over_the_delay() {
    const PROXIES: usize = 40;
    let first = Duration::from_millis(400);
    let fake = FakeControlPlane::new(small(5));
    let mut proxies = Vec::new();
    for number in 0..PROXIES {
        let (machine, trigger) = machine();
        let mut options = options(ControlPlaneTransport::Memory(fake.dialer()));
        options.proxy_id = Some(format!("proxy-{number}").parse().unwrap());
        options.reconnect_backoff = (first, first * 10);
        let handle = start(options, &machine).unwrap();
        machine.readiness.ready().await;
        proxies.push((handle, machine, trigger));
    }
    let before = fake.hello_times.lock().unwrap().len();
    assert_eq!(before, PROXIES);
    fake.disconnect.send_replace(1);
    until(|| fake.hello_times.lock().unwrap().len() == 2 * PROXIES).await;
    let times = fake.hello_times.lock().unwrap()[PROXIES..].to_vec();
    let spread = *times.last().unwrap() - times[0];
    // With full jitter, the first delays are anywhere between zero and the minimum.
    assert!(spread > first / 4, "{PROXIES} proxies within {spread:?}");
    let hellos = fake.hellos.lock().unwrap()[PROXIES..].to_vec();
    let tells_what_it_holds = |hello: &pb::Hello| hello.resources.len() == 4;
    assert!(hellos.iter().all(tells_what_it_holds), "{hellos:?}");
}
