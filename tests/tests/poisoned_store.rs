//! Records in the store that no control plane wrote: unreadable, oversized and contradictory ones. No call fails, each is
//! reported by its name, and a control plane starts beside them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcd_client::DeleteOptions;
use prost::Message as _;
use serde_json::Value;
use toolgate_proto::admin::v1 as admin;
use toolgate_proto::store::v1::{self as store, record::Object};
use toolgate_tests::{
    agent::Agent,
    clock::{HANG_GUARD, eventually, is_drill, now, within},
    etcd_cluster::TestEtcdCluster,
    proxy_fleet::ProxyFleet,
    sandbox::Sandbox,
    toolgate::{CommandLine, ControlPlaneProcess, text},
};

/// Limit until the admin API reports a record.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

const DESIRED: &str = "/toolgate/v1/desired/default";

fn record(object: Object) -> Vec<u8> {
    let record = store::Record {
        schema: 1,
        update_time_ms: 1,
        author: "system".to_owned(),
        object: Some(object),
    };
    record.encode_to_vec()
}

fn metadata(kind: &str, id: &str) -> Option<admin::Metadata> {
    Some(admin::Metadata {
        name: format!("organizations/default/{kind}/{id}"),
        ..admin::Metadata::default()
    })
}

/// Record of a gateway over the tool `echo` of the server `main`, changed by `change`.
fn gateway(id: &str, change: impl FnOnce(&mut admin::GatewaySpec, &mut admin::Binding)) -> Vec<u8> {
    let mut spec = admin::GatewaySpec::default();
    let mut binding = admin::Binding {
        server: "main".to_owned(),
        tools: vec!["echo".to_owned()],
        ..admin::Binding::default()
    };
    change(&mut spec, &mut binding);
    spec.bindings.push(binding);
    record(Object::Gateway(admin::Gateway {
        metadata: metadata("gateways", id),
        spec: Some(spec),
        status: None,
    }))
}

fn server(id: &str, change: impl FnOnce(&mut admin::ServerSpec)) -> Vec<u8> {
    let mut spec = admin::ServerSpec {
        url: "http://127.0.0.1:65000/mcp".to_owned(),
        ..admin::ServerSpec::default()
    };
    change(&mut spec);
    record(Object::Server(admin::Server {
        metadata: metadata("servers", id),
        spec: Some(spec),
        status: None,
    }))
}

fn token(id: &str, hash: usize, change: impl FnOnce(&mut admin::TokenSpec)) -> Vec<u8> {
    let mut spec = admin::TokenSpec::default();
    change(&mut spec);
    record(Object::Token(store::StoredToken {
        token: Some(admin::Token {
            metadata: metadata("tokens", id),
            spec: Some(spec),
            status: None,
        }),
        hash: vec![7; hash],
        ..store::StoredToken::default()
    }))
}

/// Shape of the tool `echo` with this fixed argument.
fn fixed(json: &str) -> admin::Shape {
    admin::Shape {
        fixed: [("message".to_owned(), json.to_owned())].into(),
        ..admin::Shape::default()
    }
}

/// Records by their kind and id, each invalid in its own way.
#[derive(Default)]
struct PoisonRecords(Vec<(&'static str, String, Vec<u8>)>);

impl PoisonRecords {
    fn add(&mut self, kind: &'static str, make: impl Fn(&str) -> Vec<u8>) {
        let id = format!("poison-{}", self.0.len() + 1);
        let value = make(&id);
        self.0.push((kind, id, value));
    }
}

fn add_gateways(all: &mut PoisonRecords) {
    all.add("gateway", |_| b"\xff\xfe not anything \x00\x01".to_vec());
    all.add("gateway", |_| Vec::new());
    all.add("gateway", |id| {
        let mut half = gateway(id, |_, _| {});
        half.truncate(half.len() / 2);
        half
    });
    all.add("gateway", |_| {
        record(Object::Gateway(admin::Gateway::default()))
    });
    all.add("gateway", |_| gateway("another", |_, _| {}));
    all.add("gateway", |id| token(id, 32, |_| {}));
    all.add("gateway", |id| gateway(id, |spec, _| spec.prefix = 77));
    all.add("gateway", |id| {
        gateway(id, |_, binding| binding.server = "Not A Slug!".to_owned())
    });
    all.add("gateway", |id| {
        gateway(id, |_, binding| {
            binding.server = "no-such-server".to_owned()
        })
    });
    all.add("gateway", |id| {
        // 100,000 names of tools.
        gateway(id, |_, binding| {
            binding.tools = vec!["t".to_owned(); 100_000]
        })
    });
    all.add("gateway", |id| {
        gateway(id, |spec, _| spec.instructions = "x".repeat(1_000_000))
    });
    all.add("gateway", |id| {
        gateway(id, |_, binding| {
            binding.shapes.insert("echo".to_owned(), fixed("NaN"));
        })
    });
    all.add("gateway", |id| {
        gateway(id, |_, binding| {
            let deep = "[".repeat(100_000);
            binding.shapes.insert("echo".to_owned(), fixed(&deep));
        })
    });
    all.add("gateway", |id| {
        gateway(id, |_, binding| {
            let shape = admin::Shape {
                alias: Some("\u{202e}\u{7}".to_owned()),
                ..admin::Shape::default()
            };
            binding.shapes.insert("echo".to_owned(), shape);
        })
    });
    all.add("gateway", |id| {
        let limit = admin::RateLimit {
            per: 99,
            requests: u32::MAX,
            interval: None,
            ..admin::RateLimit::default()
        };
        gateway(id, |spec, _| spec.rate_limits.push(limit))
    });
}

fn add_others(all: &mut PoisonRecords) {
    all.add("server", |id| server(id, |spec| spec.url = String::new()));
    all.add("server", |id| {
        server(id, |spec| spec.url = "file:///etc/passwd".to_owned())
    });
    all.add("server", |id| {
        server(id, |spec| spec.url = "http://[::1".to_owned())
    });
    all.add("server", |id| server(id, |spec| spec.era = 99));
    all.add("server", |id| {
        server(id, |spec| spec.max_answer_mib = u32::MAX)
    });
    all.add("server", |id| {
        server(id, |spec| spec.protocol_version = "\u{0}".repeat(70_000))
    });
    all.add("token", |id| token(id, 3, |_| {}));
    all.add("token", |id| {
        token(id, 32, |spec| spec.gateways = vec!["../..".to_owned()])
    });
    all.add("token", |_| vec![0xff; 200_000]);
}

/// Everything that the command line shows of faults, as one text.
async fn reports(cli: &CommandLine) -> Result<String> {
    let doctor = cli.output(&["doctor"]).await?;
    let mut shown = text(&doctor.stdout);
    let gateways = cli.json(&["get", "gateways"]).await?;
    for gateway in gateways.as_array().context("no list")? {
        let problems = &gateway["status"]["problems"];
        if problems.as_array().is_some_and(|it| !it.is_empty()) {
            shown += &format!("\n{} {problems}", gateway["metadata"]["name"]);
        }
    }
    Ok(shown)
}

/// Checks that a report names an object, and not only one whose name begins in the same way.
fn names(report: &str, id: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
    report
        .match_indices(id)
        .any(|(at, _)| is_end(&report[at + id.len()..]))
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kinds_of_poison_fail_no_call_and_are_reported_by_name() {
    let mut fleet = ProxyFleet::start("poisons", &[]).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    let agents: Vec<Agent> = fleet
        .proxies
        .iter()
        .map(|proxy| Agent::modern(&proxy.url("main"), &fleet.token))
        .collect();
    let mut poisons = PoisonRecords::default();
    add_gateways(&mut poisons);
    add_others(&mut poisons);
    assert!(poisons.0.len() >= 20);
    for (kind, id, value) in &poisons.0 {
        let key = format!("{DESIRED}/{kind}/{id}");
        fleet.etcd.put(&key, value).await.unwrap();
        let start = now();
        for agent in &agents {
            let answered = agent.echo("echo", "untouched").await;
            answered.unwrap_or_else(|error| panic!("after {id}: {error:#}"));
        }
        eventually("the record is reported", within(REPORT_TIMEOUT), || async {
            let shown = reports(&cli).await?;
            ensure!(names(&shown, id), "{id} is not in {shown}");
            Ok(())
        })
        .await
        .unwrap();
        println!("{id} was reported after {:?}", start.elapsed());
    }
    // A valid change still reaches every proxy.
    let create = [
        "gateway", "create", "after", "--server", "main", "--tools", "echo",
    ];
    cli.run(&create).await.unwrap();
    for proxy in &mut fleet.proxies {
        let agent = Agent::modern(&proxy.url("after"), &fleet.token);
        eventually("the change is served", HANG_GUARD, || agent.tools())
            .await
            .unwrap();
        proxy.process().ensure_running().unwrap();
        let log = proxy.process().stderr();
        assert!(!log.contains("panicked"), "{log}");
    }
    fleet.plane.process().ensure_running().unwrap();
    let log = fleet.plane.process().stderr();
    assert!(!log.contains("panicked"), "{log}");
}

/// Starts a control plane again. Returns the time until it is ready, and the range requests that it sent meanwhile.
async fn measure_start(
    plane: &mut ControlPlaneProcess,
    etcd: &TestEtcdCluster,
) -> Result<(Duration, u64)> {
    plane.kill()?;
    let before = etcd.range_requests().await?;
    let start = now();
    plane.restart().await?;
    Ok((start.elapsed(), etcd.range_requests().await? - before))
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_records_do_not_lengthen_a_start() {
    const ROUNDS: usize = 3;
    // Earlier forms of a record that are read.
    const FORMS_READ: u64 = 3;
    let (objects, unreadable) = if is_drill() {
        (10_000, 1_000)
    } else {
        (400, 40)
    };
    let sandbox = Sandbox::new("unreadable").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let documents: String = (0..objects)
        .map(|it| format!("---\napiVersion: toolgate/v1\nkind: Token\nmetadata: {{name: token-{it}}}\nspec: {{user: u}}\n"))
        .collect();
    let file = sandbox.join("tokens.yaml");
    std::fs::write(&file, documents).unwrap();
    let file = file.display().to_string();
    let mut apply = cli.command(&["apply", "-f", &file]).unwrap();
    let applied = tokio::time::timeout(HANG_GUARD * 5, apply.output()).await;
    assert!(applied.unwrap().unwrap().status.success());
    let mut store = etcd.connect(0).await.unwrap();
    let prefix = format!("{DESIRED}/token/unreadable-");
    // In turn, so that a load of the machine meets both.
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _round in 0..ROUNDS {
        without.push(measure_start(&mut plane, &etcd).await.unwrap());
        for number in 0..unreadable {
            // Three forms each, none of which can be read.
            for form in [b"\xff one".as_slice(), b"\xff two", b"\xff three"] {
                let key = format!("{prefix}{number}");
                store.put(key, form, None).await.unwrap();
            }
        }
        with.push(measure_start(&mut plane, &etcd).await.unwrap());
        let listed: Value = cli.json(&["get", "tokens"]).await.unwrap();
        let listed = listed.as_array().map_or(0, Vec::len);
        assert_eq!(listed, objects + 1, "all other objects are served");
        let all = DeleteOptions::new().with_prefix();
        store.delete(prefix.as_str(), Some(all)).await.unwrap();
    }
    println!("{without:?} without, {with:?} with {unreadable} unreadable records");
    let requests = |starts: &[(Duration, u64)]| starts.iter().map(|it| it.1).min().unwrap();
    let most = requests(&without) + FORMS_READ * unreadable + 30;
    let sent = requests(&with);
    assert!(sent <= most, "{sent} range requests, at most {most}");
    let (without, with) = (
        without.iter().min().unwrap().0,
        with.iter().min().unwrap().0,
    );
    assert!(
        !is_drill() || with <= without * 2,
        "{with:?} instead of {without:?}"
    );
}
