//! No connection is made to an address that is forbidden: in any spelling, in any place that names one, and when a name
//! changes its addresses. The tests run in a network of their own in which all these addresses answer.
#![expect(clippy::unwrap_used, reason = "scenarios")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use toolgate_egress::{
    Egress, EgressErrorClass, EgressPolicy, EgressRequestBody, HttpClient, PoolOptions,
};
use toolgate_tests::address_recorder::AddressRecorder;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now};
use toolgate_tests::http_client::socket;
use toolgate_tests::name_server::{NameRecords, NameServer};
use toolgate_tests::private_network;
use toolgate_tests::referring_server::{REFERENCES, REFERRING_TOOL, ReferringServer};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ToolgateUp, text};

/// Spellings of `10.1.2.3`: numeric, with other digits and dots, encoded, embedded, and as a name.
const SPELLINGS: [&str; 30] = [
    "10.1.2.3",
    "10.1.515",
    "10.66051",
    "167838211",
    "0xa010203",
    "0x0A010203",
    "0xa.1.2.3",
    "0xa.0x1.0x2.0x3",
    "0xa.66051",
    "012.01.02.03",
    "0012.1.515",
    "01200401003",
    "10.1.2.3.",
    "\u{ff11}\u{ff10}.\u{ff11}.\u{ff12}.\u{ff13}",
    "\u{2460}\u{24ea}.\u{2460}.\u{2461}.\u{2462}",
    "10\u{3002}1\u{3002}2\u{3002}3",
    "10\u{ff0e}1\u{ff0e}2\u{ff0e}3",
    "10\u{ff61}1\u{ff61}2\u{ff61}3",
    "%31%30.1.2.3",
    "1%30.%31.2.3",
    "[::ffff:10.1.2.3]",
    "[::FFFF:a01:203]",
    "[::10.1.2.3]",
    "[::ffff:0:10.1.2.3]",
    "[64:ff9b::10.1.2.3]",
    "[2002:a01:203::1]",
    "[2001:0:1::f5fe:fdfc]",
    "internal.test",
    "INTERNAL.Test.",
    "alias.test",
];

/// One host of each other class of addresses that may not be reached.
const CLASSES: [&str; 34] = [
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "100.64.0.1",
    "169.254.1.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.1.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "168.63.129.16",
    "100.100.100.200",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b:1::1]",
    "[fd00:ec2::254]",
    "[fc00::1]",
    "[fec0::1]",
    "[2001:db8::1]",
    "[2001:10::1]",
    "[3fff::1]",
    "[100::1]",
    "[5f00::1]",
    "metadata.test",
    "mixed.test",
    "six.test",
];

/// Address that may be reached, and answers.
const PUBLIC: &str = "8.8.8.8";
/// A second one, over IPv6.
const PUBLIC_V6: &str = "2606:4700::1111";

/// Tries to reach a name that changes its addresses.
fn rebinding_tries() -> usize {
    if is_drill() { 10_000 } else { 500 }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn records(addresses: &[&str]) -> NameRecords {
    NameRecords {
        alias: None,
        addresses: addresses.iter().map(|text| ip(text)).collect(),
    }
}

/// Addresses of the names in the tables.
fn fixed_records(name: &str) -> NameRecords {
    let alias = |to: &str, addresses| NameRecords {
        alias: Some(to.to_owned()),
        ..records(addresses)
    };
    match name {
        "internal.test" => records(&["10.1.2.3"]),
        "alias.test" => alias("internal.test", &["10.1.2.3"]),
        "metadata.test" => records(&["169.254.169.254"]),
        "mixed.test" => records(&[PUBLIC, "10.1.2.3"]),
        "six.test" => records(&[PUBLIC, "fd00::1"]),
        "public.test" => records(&[PUBLIC]),
        _ => NameRecords::default(),
    }
}

async fn name_server(
    records: impl Fn(&str, usize) -> NameRecords + Send + 'static,
) -> Result<NameServer> {
    NameServer::start(private_network::NAME_SERVER.parse()?, records).await
}

/// Client of the proxies and of the control plane, without an allowed network; plain HTTP is allowed, so that only an
/// address is a reason to refuse.
fn client() -> Result<HttpClient> {
    let policy = EgressPolicy {
        allow_plain_http: true,
        ..EgressPolicy::default()
    };
    Ok(Egress::new(policy)?.http(PoolOptions::default()))
}

/// Requests this URL and returns the class of the error, if there is one.
async fn request(client: &HttpClient, url: &str) -> Result<(), EgressErrorClass> {
    // A URL that this client cannot even represent is refused.
    let request = Request::get(url).body(EgressRequestBody::empty());
    let request = request.map_err(|_invalid| EgressErrorClass::Denied)?;
    match client.request(request).await {
        Ok(_answer) => Ok(()),
        Err(error) => Err(error.class()),
    }
}

/// Asserts that connections to forbidden addresses would be seen.
async fn assert_seen(recorder: &AddressRecorder) {
    let mut reached = vec!["10.1.2.3", "169.254.169.254", "192.168.1.1"];
    if private_network::has_ipv6() {
        reached.push("fd00:ec2::254");
    }
    for address in &reached {
        socket(SocketAddr::new(ip(address), recorder.port()))
            .await
            .unwrap();
    }
    eventually("the connections are recorded", HANG_GUARD, || async {
        ensure!(recorder.arrived().len() == reached.len());
        Ok(())
    })
    .await
    .unwrap();
    recorder.reset();
}

#[tokio::test(flavor = "multi_thread")]
async fn ss_02_no_spelling_of_a_forbidden_address_opens_a_connection() {
    if !private_network::is_inside() {
        let test = "ss_02_no_spelling_of_a_forbidden_address_opens_a_connection";
        return private_network::run(test).await.unwrap();
    }
    let recorder = AddressRecorder::start().await.unwrap();
    assert_seen(&recorder).await;
    let names = name_server(|name, _| fixed_records(name)).await.unwrap();
    let client = client().unwrap();
    let loopback = [
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.255.255.254",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
    ];
    for host in loopback.iter().chain(&SPELLINGS).chain(&CLASSES) {
        // As an operator writes it, and as the client gets it from a parsed URL.
        let written = format!("http://{host}:{}/", recorder.port());
        let parsed = url::Url::parse(&written).map(String::from);
        for url in std::iter::once(written).chain(parsed) {
            let refused = request(&client, &url).await.unwrap_err();
            let expected = [EgressErrorClass::Denied, EgressErrorClass::Unresolved];
            assert!(expected.contains(&refused), "{url}: {refused:?}");
        }
    }
    assert_eq!(recorder.arrived(), BTreeMap::new());
    assert!(names.queries() > 0, "names were looked up");
    // The same client reaches what is allowed: by address and by name.
    let mut reached = BTreeMap::from([(ip(PUBLIC), 2)]);
    let mut allowed = vec![PUBLIC.to_owned(), "public.test".to_owned()];
    if private_network::has_ipv6() {
        reached.insert(ip(PUBLIC_V6), 1);
        allowed.push(format!("[{PUBLIC_V6}]"));
    }
    for host in allowed {
        let url = format!("http://{host}:{}/", recorder.port());
        request(&client, &url).await.unwrap();
    }
    assert_eq!(recorder.arrived(), reached);
}

/// Addresses of `flip.test`, which differ from query to query: allowed, forbidden, both, and an alias of a forbidden one.
fn changing_records(query: usize) -> NameRecords {
    match query % 5 {
        0 | 3 => records(&[PUBLIC, PUBLIC_V6]),
        1 => records(&["10.1.2.3", "fd00::1"]),
        2 => records(&[PUBLIC, "169.254.169.254", PUBLIC_V6, "::ffff:10.1.2.3"]),
        _ => NameRecords {
            alias: Some("metadata.test".to_owned()),
            ..records(&["169.254.169.254", "fd00:ec2::254"])
        },
    }
}

/// Requests a URL this many times. Returns how many requests succeeded, how many were refused, and of how many the lookup
/// failed, as a lookup over UDP may on a busy machine.
async fn try_often(url: String, tries: usize) -> Result<[usize; 3]> {
    let mut counts = [0; 3];
    let mut client = client()?;
    // Each answer ends its connection, so that each try resolves the name again.
    for _ in 0..tries {
        match request(&client, &url).await {
            Ok(()) => counts[0] += 1,
            Err(EgressErrorClass::Denied) => counts[1] += 1,
            Err(EgressErrorClass::Unresolved) => {
                counts[2] += 1;
                // A client keeps a failed lookup for a while.
                client = self::client()?;
            }
            Err(other) => bail!("{other:?}"),
        }
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn ss_05_a_name_that_changes_its_addresses_opens_no_connection_to_a_forbidden_one() {
    if !private_network::is_inside() {
        let test = "ss_05_a_name_that_changes_its_addresses_opens_no_connection_to_a_forbidden_one";
        return private_network::run(test).await.unwrap();
    }
    let recorder = AddressRecorder::start().await.unwrap();
    assert_seen(&recorder).await;
    let names = name_server(|_, query| changing_records(query))
        .await
        .unwrap();
    let url = format!("http://flip.test:{}/", recorder.port());
    let mut tasks = JoinSet::new();
    let tasks_count = 10;
    let tries = rebinding_tries();
    for _ in 0..tasks_count {
        tasks.spawn(try_often(url.clone(), tries / tasks_count));
    }
    let (mut succeeded, mut refused, mut unresolved) = (0, 0, 0);
    while let Some(ended) = tasks.join_next().await {
        let counts = ended.unwrap().unwrap();
        succeeded += counts[0];
        refused += counts[1];
        unresolved += counts[2];
    }
    println!("{succeeded} succeeded, {refused} refused, {unresolved} unresolved");
    assert_eq!(succeeded + refused + unresolved, tries);
    assert!(unresolved <= tries / 100, "{unresolved} lookups failed");
    // Both happen often, so that neither outcome is a property of the network.
    let few = tries / 20;
    assert!(succeeded > few && refused > few, "{succeeded} {refused}");
    let queries = names.queries();
    assert!(queries >= 2 * (succeeded + refused), "{queries}");
    let arrived = recorder.arrived();
    let allowed = BTreeSet::from([ip(PUBLIC), ip(PUBLIC_V6)]);
    let reached: BTreeSet<IpAddr> = arrived.keys().copied().collect();
    assert!(reached.is_subset(&allowed), "{arrived:?}");
    assert_eq!(arrived.values().sum::<usize>(), succeeded);
}

/// An open port, a closed port, and an address without a route are all forbidden: the time of a refusal does not tell them
/// apart.
#[tokio::test(flavor = "multi_thread")]
async fn ss_06_refusals_take_the_same_time_for_open_closed_and_absent_ports() {
    if !private_network::is_inside() {
        let test = "ss_06_refusals_take_the_same_time_for_open_closed_and_absent_ports";
        return private_network::run(test).await.unwrap();
    }
    let recorder = AddressRecorder::start().await.unwrap();
    assert_seen(&recorder).await;
    let route = ["route", "add", "blackhole", "10.9.9.0/24"];
    let added = std::process::Command::new("ip").args(route).status();
    assert!(added.unwrap().success());
    let closed = toolgate_tests::port::free().unwrap().port();
    let urls = [
        format!("http://10.1.2.3:{}/", recorder.port()),
        format!("http://10.1.2.3:{closed}/"),
        format!("http://10.9.9.9:{}/", recorder.port()),
    ];
    let client = client().unwrap();
    let mut took: [Vec<Duration>; 3] = Default::default();
    for _ in 0..300 {
        // The compared requests alternate, so that other load on the machine affects all of them equally.
        for (url, took) in urls.iter().zip(&mut took) {
            let start = now();
            let refused = request(&client, url).await.unwrap_err();
            took.push(start.elapsed());
            assert_eq!(refused, EgressErrorClass::Denied);
        }
    }
    let typical = took.map(|mut all| {
        all.sort();
        all[all.len() / 4]
    });
    let (least, most) = (typical.iter().min().unwrap(), typical.iter().max().unwrap());
    println!("{typical:?}");
    assert!(!is_drill() || *most < *least * 3, "{typical:?}");
    assert_eq!(recorder.arrived(), BTreeMap::new());
}

/// Documents of one server for each host and place.
fn documents(server: &ReferringServer, hosts: usize) -> String {
    let mut all = String::new();
    for place in REFERENCES {
        for number in 0..hosts {
            let url = server.url(place, number);
            all.push_str(&format!(
                "---\napiVersion: toolgate/v1\nkind: Server\nmetadata:\n  name: {place}-{number}\nspec:\n  url: {url}\n"
            ));
        }
    }
    all.push_str(
        "---\napiVersion: toolgate/v1\nkind: Gateway\nmetadata:\n  name: referring\nspec:\n  prefix: always\n  bindings:\n",
    );
    for number in 0..hosts {
        all.push_str(&format!("    - {{server: mcp-{number}, allTools: true}}\n"));
    }
    all
}

/// Waits until each server was probed; returns the number of servers that work.
async fn probed(cli: &CommandLine, servers: usize) -> Result<usize> {
    eventually("each server was probed", HANG_GUARD * 2, || async {
        let listed = cli.json(&["get", "catalogues"]).await?;
        let listed = listed.as_array().context("no list")?;
        let of_test = |it: &&Value| {
            let name = it["name"].as_str().unwrap_or_default();
            let id = name.rsplit('/').next().unwrap_or_default();
            REFERENCES
                .iter()
                .any(|place| id.starts_with(&format!("{place}-")))
        };
        let seen: Vec<&Value> = listed.iter().filter(of_test).collect();
        ensure!(seen.len() == servers, "{} of {servers}", seen.len());
        let works = |it: &&&Value| {
            it["tools"]
                .as_array()
                .is_some_and(|tools| !tools.is_empty())
        };
        Ok(seen.iter().filter(works).count())
    })
    .await
}

/// Adds a server at each host and returns what the command tells, without the host.
async fn add_each(cli: &CommandLine, port: u16, hosts: &[&str]) -> Result<BTreeSet<String>> {
    let mut told = BTreeSet::new();
    for (number, host) in hosts.iter().enumerate() {
        let (name, url) = (
            format!("direct-{number}"),
            format!("http://{host}:{port}/mcp"),
        );
        let added = cli.output(&["server", "add", &name, "--url", &url]).await?;
        let shown = text(&added.stderr).replace(&name, "NAME");
        let problem = shown.lines().find(|line| line.contains("permitted"));
        // A host that the API does not take as the host of a URL is refused at once.
        let refused = !added.status.success();
        ensure!(refused || problem.is_some(), "{host}: {shown}");
        told.extend(problem.map(str::to_owned));
    }
    Ok(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn ss_01_no_place_that_names_a_forbidden_address_opens_a_connection() {
    if !private_network::is_inside() {
        let test = "ss_01_no_place_that_names_a_forbidden_address_opens_a_connection";
        return private_network::run(test).await.unwrap();
    }
    let recorder = AddressRecorder::start().await.unwrap();
    assert_seen(&recorder).await;
    let _names = name_server(|name, _| fixed_records(name)).await.unwrap();
    let hosts = [&SPELLINGS[..], &CLASSES[..]].concat();
    let url = |host: &&str| format!("http://{host}:{}/mcp", recorder.port());
    let referring = ReferringServer::start(hosts.iter().map(url).collect())
        .await
        .unwrap();
    let sandbox = Sandbox::new("forbidden").unwrap();
    let up = ToolgateUp::start(&sandbox, &["--egress-plain-http"])
        .await
        .unwrap();
    let cli = up.cli().unwrap();

    // In what servers send: redirects, the message URL of HTTP+SSE, challenges, definitions and results.
    let file = sandbox.join("servers.yaml");
    std::fs::write(&file, documents(&referring, hosts.len())).unwrap();
    let file = file.to_str().unwrap().to_owned();
    cli.run(&["apply", "-f", &file]).await.unwrap();
    let working = probed(&cli, hosts.len() * REFERENCES.len()).await.unwrap();
    assert_eq!(working, hosts.len());
    let token = cli
        .token("caller", &["--gateway", "referring"])
        .await
        .unwrap();
    let agent = Agent::modern(&up.url("referring"), &token);
    eventually("the token is accepted", HANG_GUARD, || agent.tools())
        .await
        .unwrap();
    let legacy = Agent::legacy(&up.url("referring"), &token).await.unwrap();
    for number in 0..hosts.len() {
        let tool = format!("mcp-{number}__{REFERRING_TOOL}");
        for agent in [&agent, &legacy] {
            let result = agent.call(&tool, json!({})).await.unwrap();
            assert_eq!(result["content"][1]["type"], "resource_link", "{result}");
        }
    }
    assert_eq!(recorder.arrived(), BTreeMap::new());

    // In what operators write: probes of the control plane, and calls of proxies to servers that were moved.
    let told = add_each(&cli, recorder.port(), &hosts).await.unwrap();
    assert_eq!(told.len(), 1, "{told:#?}");
    for (number, host) in hosts.iter().enumerate() {
        let name = format!("mcp-{number}");
        let update = ["server", "update", &name, "--url", &url(host)];
        if !cli.output(&update).await.unwrap().status.success() {
            continue;
        }
        let tool = format!("{name}__{REFERRING_TOOL}");
        eventually("the call fails", HANG_GUARD, || async {
            let result = agent.call(&tool, json!({})).await?;
            ensure!(result["isError"] == true, "{host}: {result}");
            Ok(())
        })
        .await
        .unwrap();
    }
    assert_eq!(recorder.arrived(), BTreeMap::new());
}
