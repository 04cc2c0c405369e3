//! Secrets are contained: credentials for servers are never stored or logged in plain text, and tokens of clients are
//! never forwarded.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use serde_json::{Value, json};
use toolgate_proto::store::v1::{Record, SealedBlob, record};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::keyed_server::{KEY_HEADERS, KEY_PARAMETER, KeyedAnswer, KeyedServer};
use toolgate_tests::otlp_recorder::OtlpRecorder;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{
    CommandLine, ControlPlaneProcess, ProxyProcess, ToolgateUp, start_deployment, text,
};
use toolgate_tests::upstream_server::UpstreamServer;

const CANARY: &str = "canary-7f3a91c4e5d2b8600b1d";

/// The canary in base64, at every alignment.
const ENCODED: [&str; 3] = [
    "Y2FuYXJ5LTdmM2E5MWM0ZTVkMmI4NjAwYjFk",
    "jYW5hcnktN2YzYTkxYzRlNWQyYjg2MDBiMW",
    "hbmFyeS03ZjNhOTFjNGU1ZDJiODYwMGIxZ",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// Files that contain one of these texts, plain, in base64 or in hex.
fn files_containing(folder: &Path, secrets: &[&str]) -> Vec<String> {
    let mut needles: Vec<String> = ENCODED.iter().map(|text| (*text).to_owned()).collect();
    for secret in secrets {
        needles.push((*secret).to_owned());
        needles.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
    }
    let mut found = Vec::new();
    for path in files(folder) {
        let bytes = fs::read(&path).unwrap_or_default();
        // etcd preallocates its log with zeros.
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let bytes = &bytes[..end];
        for needle in &needles {
            if memchr::memmem::find(bytes, needle.as_bytes()).is_some() {
                found.push(format!("{}: {needle}", path.display()));
            }
        }
    }
    found
}

/// Headers that the server gets when `agent` calls it.
async fn headers_at_server(agent: &Agent) -> anyhow::Result<Value> {
    let result = agent.call("headers", json!({})).await?;
    let text = result["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    Ok(serde_json::from_str(&text)?)
}

/// Adds a server whose credential has this value, and a gateway of the same name.
async fn add_guarded(
    cli: &CommandLine,
    name: &str,
    server: &UpstreamServer,
    value: &str,
) -> anyhow::Result<()> {
    let header = format!("Authorization=Bearer {value}");
    let url = server.url();
    let add = ["server", "add", name, "--url", url, "--header", &header];
    cli.run(&add).await?;
    let create = [
        "gateway", "create", name, "--server", name, "--prefix", "single",
    ];
    cli.run(&create).await.map(drop)
}

/// Waits until the server gets this value through the gateway of `agent`. Returns the headers.
async fn check_served(agent: &Agent, value: &str) -> anyhow::Result<Value> {
    let headers = eventually("a call", HANG_GUARD, || headers_at_server(agent)).await?;
    ensure!(
        headers["authorization"] == format!("Bearer {value}"),
        "{headers}"
    );
    Ok(headers)
}

/// One member of etcd, a control plane and a proxy, with a server to guard.
struct GuardingFleet {
    etcd: TestEtcdCluster,
    server: UpstreamServer,
    proxy: ProxyProcess,
    cli: CommandLine,
    _plane: ControlPlaneProcess,
}

impl GuardingFleet {
    async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let etcd = TestEtcdCluster::start(sandbox, 1).await?;
        let server = UpstreamServer::fixture(sandbox, "fixture", &[]).await?;
        let plane = ControlPlaneProcess::start(sandbox, "plane", &etcd.endpoints()).await?;
        let proxy = ProxyProcess::join(sandbox, "proxy-1", &plane).await?;
        Ok(Self {
            etcd,
            server,
            proxy,
            cli: plane.cli()?,
            _plane: plane,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gets_the_credential_and_not_the_callers_token() {
    let sandbox = Sandbox::new("credential").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &["--log", "trace"])
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    add_guarded(&cli, "guarded", &server, CANARY).await.unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let modern = Agent::modern(&up.url("guarded"), &token);
    let headers = check_served(&modern, CANARY).await.unwrap();
    assert!(
        !headers.to_string().contains(&token),
        "the caller's token was passed on: {headers}"
    );
    let legacy = Agent::legacy(&up.url("guarded"), &token).await.unwrap();
    let headers = headers_at_server(&legacy).await.unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {CANARY}"));
    assert!(
        !headers.to_string().contains(&token),
        "the caller's token was passed on: {headers}"
    );
    let shown = cli
        .run(&["get", "credentials", "-o", "yaml"])
        .await
        .unwrap()
        .stdout;
    assert!(
        !String::from_utf8_lossy(&shown).contains(CANARY),
        "the API shows the secret"
    );
    assert_eq!(
        files_containing(sandbox.path(), &[CANARY, &token]),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn store_and_disks_of_a_fleet_contain_no_plain_secret() {
    let sandbox = Sandbox::new("at-rest").unwrap();
    let fleet = GuardingFleet::start(&sandbox).await.unwrap();
    let GuardingFleet { cli, server, .. } = &fleet;
    add_guarded(cli, "guarded", server, CANARY).await.unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let agent = Agent::modern(&fleet.proxy.url("guarded"), &token);
    check_served(&agent, CANARY).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        files(sandbox.path()).len() > 5,
        "there is something to search"
    );
    assert_eq!(
        files_containing(sandbox.path(), &[CANARY, &token]),
        Vec::<String>::new()
    );
}

/// Record of a credential in the store.
async fn stored_credential(etcd: &TestEtcdCluster, name: &str) -> anyhow::Result<(String, Record)> {
    let key = format!("/toolgate/v1/desired/default/credential/{name}");
    let value = etcd.values(&key).await?.pop().context("no credential")?;
    Ok((key, Record::decode(&*value)?))
}

fn sealed_value(record: &mut Record) -> Option<&mut Option<SealedBlob>> {
    match &mut record.object {
        Some(record::Object::Credential(credential)) => Some(&mut credential.value),
        _ => None,
    }
}

/// The sealed value of one credential is written into the record of another one: it does not open there. Calls to that server
/// fail, its probe names the credential, and the other server is not affected.
#[tokio::test(flavor = "multi_thread")]
async fn se_02_a_sealed_value_that_is_moved_in_the_store_affects_one_server_and_is_reported() {
    let sandbox = Sandbox::new("moved-value").unwrap();
    let fleet = GuardingFleet::start(&sandbox).await.unwrap();
    let GuardingFleet { etcd, cli, .. } = &fleet;
    let token = cli.token("caller", &[]).await.unwrap();
    let agent = |name: &str| Agent::modern(&fleet.proxy.url(name), &token);
    for name in ["one", "two"] {
        let value = format!("{CANARY}-{name}");
        add_guarded(cli, name, &fleet.server, &value).await.unwrap();
        check_served(&agent(name), &value).await.unwrap();
    }
    let (_, mut one) = stored_credential(etcd, "one").await.unwrap();
    let (key, mut two) = stored_credential(etcd, "two").await.unwrap();
    *sealed_value(&mut two).unwrap() = sealed_value(&mut one).unwrap().clone();
    etcd.put(&key, &two.encode_to_vec()).await.unwrap();
    let told = eventually("the probe fails", HANG_GUARD, || async {
        Ok(cli.fails(&["server", "probe", "two"]).await?.1)
    })
    .await
    .unwrap();
    assert!(
        told.contains("its credential `two` cannot be used")
            && told.contains("set its value again"),
        "{told}"
    );
    assert!(!told.contains(CANARY), "{told}");
    // No call of the moved value reaches a server; the other server is served with its own.
    for _ in 0..5 {
        let headers = headers_at_server(&agent("one")).await.unwrap();
        assert_eq!(headers["authorization"], format!("Bearer {CANARY}-one"));
        if let Ok(headers) = headers_at_server(&agent("two")).await {
            assert_eq!(headers["authorization"], format!("Bearer {CANARY}-two"));
        }
    }
    cli.run(&["server", "probe", "one"]).await.unwrap();
}

/// Number of credentials in the store whose disks are searched.
const CREDENTIALS: usize = 1_000;

/// Documents of credentials, each with a canary of its own.
fn credential_documents() -> String {
    let document = |number: usize| {
        format!(
            "---\napiVersion: toolgate/v1\nkind: Credential\nmetadata:\n  name: stored-{number}\nspec:\n  \
             description: number {number} of many\n  hosts: ['https://stored-{number}.example']\n  \
             staticHeader:\n    header: Authorization\n    value: Bearer {CANARY}-{number:04}\n"
        )
    };
    (0..CREDENTIALS).map(document).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn se_01_a_thousand_secrets_are_in_no_file_of_a_fleet_and_in_no_backup_of_its_store() {
    let sandbox = Sandbox::new("thousand-secrets").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let flags = ["--log", "trace"];
    let plane = ControlPlaneProcess::start_with(&sandbox, "plane", &etcd.endpoints(), &flags)
        .await
        .unwrap();
    let _proxy = ProxyProcess::join_with(&sandbox, "proxy-1", &plane, &flags)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    // The documents hold the secrets, so they are not in the folder that is searched.
    let elsewhere = Sandbox::new("documents").unwrap();
    let file = elsewhere.join("credentials.yaml");
    fs::write(&file, credential_documents()).unwrap();
    let applied = cli.run(&["apply", "-f", file.to_str().unwrap()]).await;
    let shown = applied.unwrap();
    assert!(!text(&shown.stdout).contains(CANARY) && !text(&shown.stderr).contains(CANARY));
    let listed = cli.json(&["get", "credentials"]).await.unwrap();
    let listed = listed.as_array().unwrap().iter();
    let stored = listed.filter(|it| it.to_string().contains("of many"));
    assert_eq!(stored.count(), CREDENTIALS);
    etcd.save(&sandbox.join("backup.db")).unwrap();
    let backup = fs::read(sandbox.join("backup.db")).unwrap();
    let last = format!("number {} of many", CREDENTIALS - 1);
    assert!(
        memchr::memmem::find(&backup, last.as_bytes()).is_some(),
        "the backup holds the credentials, and plain text of them is found"
    );
    assert_eq!(
        files_containing(sandbox.path(), &[CANARY]),
        Vec::<String>::new()
    );
}

/// Values of the key of a [`KeyedServer`]: of both headers and of the query parameter.
fn key() -> [String; 3] {
    [
        format!("{CANARY}-id"),
        format!("Key {CANARY}"),
        format!("{CANARY} é&="),
    ]
}

/// Adds a server with its key, whose values are passed on standard input, and a gateway for it.
async fn add_keyed(cli: &CommandLine, name: &str, server: &KeyedServer) -> anyhow::Result<String> {
    let [id, key] = KEY_HEADERS.map(|name| format!("{name}=-"));
    let url = server.url();
    let add = [
        "server",
        "add",
        name,
        "--url",
        &url,
        "--header",
        &id,
        "--header",
        &key,
        "--query",
        KEY_PARAMETER,
    ];
    let values = self::key().join("\n");
    let added = cli.output_of_input(&add, &values).await?;
    let shown = text(&added.stderr);
    anyhow::ensure!(added.status.success(), "{shown}");
    cli.run(&[
        "gateway", "create", name, "--server", name, "--prefix", "single",
    ])
    .await?;
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gets_all_headers_and_query_parameters_of_its_credential_in_both_eras() {
    let (sandbox, up, cli) = start_deployment("credential-fields").await.unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let [id, key, parameter] = key();
    for (name, era) in [("legacy", "--legacy-only"), ("modern", "--modern-only")] {
        let fixture = UpstreamServer::fixture(&sandbox, name, &[era])
            .await
            .unwrap();
        let server = KeyedServer::start(fixture.address()).await.unwrap();
        let shown = add_keyed(&cli, name, &server).await.unwrap();
        assert!(shown.contains(" found ("), "{shown}");
        let probed = server.requests().len();
        assert!(probed > 0, "the probe came by");
        let url = up.url(name);
        let modern = Agent::modern(&url, &token);
        eventually("a call", HANG_GUARD, || headers_at_server(&modern))
            .await
            .unwrap();
        let legacy = Agent::legacy(&url, &token).await.unwrap();
        headers_at_server(&legacy).await.unwrap();
        let requests = server.requests();
        assert!(requests.len() > probed + 1, "the calls came by");
        for request in requests {
            let target = url::Url::parse(&format!("http://h{}", request.target)).unwrap();
            let query: Vec<(String, String)> = target.query_pairs().into_owned().collect();
            let expected = [("tenant", "7"), (KEY_PARAMETER, &*parameter)];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(query, expected);
            let header = |name: &str| {
                let values: Vec<_> = request.headers.get_all(name).iter().collect();
                let [value] = &*values else {
                    panic!("{name}: {} values", values.len());
                };
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            assert_eq!(KEY_HEADERS.map(header), [id.clone(), key.clone()]);
            assert!(!format!("{request:?}").contains(&token));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_query_parameter_shows_in_no_log_error_metric_file_or_output() {
    let sandbox = Sandbox::new("credential-query").unwrap();
    let fixture = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let server = KeyedServer::start(fixture.address()).await.unwrap();
    let up = ToolgateUp::start(&sandbox, &["--log", "trace"])
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    let mut shown = add_keyed(&cli, "keyed", &server).await.unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let modern = Agent::modern(&up.url("keyed"), &token);
    eventually("a call", HANG_GUARD, || headers_at_server(&modern))
        .await
        .unwrap();
    let legacy = Agent::legacy(&up.url("keyed"), &token).await.unwrap();
    headers_at_server(&legacy).await.unwrap();

    // The server quotes the URL, redirects to it, and is gone; the circuit breaker opens.
    let mut server = Some(server);
    for answer in [Some(KeyedAnswer::Quote), Some(KeyedAnswer::Redirect), None] {
        if let (Some(answer), Some(server)) = (answer, &server) {
            server.answer(answer);
        } else if let Some(server) = server.take() {
            assert_eq!(server.strays().len(), 0, "a redirect was followed");
        }
        let (_, told) = cli.fails(&["server", "probe", "keyed"]).await.unwrap();
        shown += &told;
        for agent in [&modern, &legacy] {
            for _ in 0..6 {
                let failed = agent.call("test_simple_text", json!({})).await;
                shown += &format!("{failed:?}");
            }
        }
    }
    for line in [
        "get credentials -o yaml",
        "get credentials -o wide",
        "get servers -o yaml",
        "get catalogues -o yaml",
        "describe credential keyed",
        "describe server keyed",
        "describe gateway keyed",
        "events",
        "doctor",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let output = cli.output(&words).await.unwrap();
        shown += &format!("{}{}", text(&output.stdout), text(&output.stderr));
    }
    let described = cli.run(&["describe", "credential", "keyed"]).await.unwrap();
    let described = text(&described.stdout);
    assert!(described.contains(KEY_PARAMETER) && described.contains(KEY_HEADERS[1]));
    let metrics = format!("http://{}/metrics", up.private());
    shown += &TestHttpClient::default()
        .get(&metrics)
        .await
        .unwrap()
        .text();
    assert!(!shown.contains(CANARY), "{shown}");
    assert_eq!(
        files_containing(sandbox.path(), &[CANARY, &token]),
        Vec::<String>::new()
    );
}

/// Calls that succeed and calls that fail, in both eras; their traces and metrics are exported when the process ends.
#[tokio::test(flavor = "multi_thread")]
async fn se_05_no_exported_trace_or_metric_holds_a_secret() {
    let sandbox = Sandbox::new("exported-secrets").unwrap();
    let fixture = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let server = KeyedServer::start(fixture.address()).await.unwrap();
    let collector = OtlpRecorder::start().await.unwrap();
    let url = collector.url();
    let flags = ["--log", "trace", "--otlp-endpoint", &url];
    let mut up = ToolgateUp::start(&sandbox, &flags).await.unwrap();
    let cli = up.cli().unwrap();
    add_keyed(&cli, "keyed", &server).await.unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let modern = Agent::modern(&up.url("keyed"), &token);
    eventually("a call", HANG_GUARD, || headers_at_server(&modern))
        .await
        .unwrap();
    let legacy = Agent::legacy(&up.url("keyed"), &token).await.unwrap();
    headers_at_server(&legacy).await.unwrap();
    for answer in [KeyedAnswer::Quote, KeyedAnswer::Redirect] {
        server.answer(answer);
        for agent in [&modern, &legacy] {
            let failed = agent.call("test_simple_text", json!({})).await;
            let shown = format!("{failed:?}");
            assert!(!shown.contains(CANARY), "{shown}");
        }
    }
    let unknown = Agent::modern(&up.url("keyed"), &format!("archestra_{CANARY}"));
    assert!(unknown.tools().await.is_err());
    up.process().signal("TERM").unwrap();
    up.process().wait_for_exit(HANG_GUARD).await.unwrap();
    let (traces, metrics) = (
        collector.exports("TraceService"),
        collector.exports("MetricsService"),
    );
    let holds = |exports: &[bytes::Bytes], text: &str| {
        let mut exports = exports.iter();
        exports.any(|export| memchr::memmem::find(export, text.as_bytes()).is_some())
    };
    assert!(holds(&traces, "tools/call"), "{} exports", traces.len());
    assert!(holds(&metrics, "toolgate"), "{} exports", metrics.len());
    let session = legacy.session().unwrap();
    for exports in [&traces, &metrics] {
        for secret in [CANARY, ENCODED[0], &token, session] {
            assert!(!holds(exports, secret), "{secret}");
        }
    }
    assert_eq!(
        files_containing(sandbox.path(), &[CANARY, &token]),
        Vec::<String>::new()
    );
}
