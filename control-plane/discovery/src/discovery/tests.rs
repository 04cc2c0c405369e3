//! Tests of server discovery: real probes of scripted fake servers.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use toolgate_client::PresentedCredential;
use toolgate_client::fake_server::{self, RecordedRequest, ScriptedResponse};
use toolgate_egress::{Egress, EgressPolicy, PoolOptions};
use toolgate_mcp::{
    cdn_loop::{CDN_LOOP, CdnId, CdnLoopError},
    error::DATA_REFUSAL,
};
use toolgate_model::{CallTimeouts, Era, ProbeFailure, ProbeOutcome, snapshot::CredentialRef};
use toolgate_runtime::{clock, drain};

use super::*;
use crate::port::{HeaderError, SinkError, StoreEffect, StoreReport};

mod endpoints;
mod feeds;
mod kinds;
mod large;

/// Keeps server definitions in memory and counts the writes.
#[derive(Default)]
struct MemorySink {
    stored: Mutex<BTreeMap<ObjectName, ServerDefinitions>>,
    writes: AtomicUsize,
    /// Number of writes that fail.
    failures: AtomicUsize,
}

impl DefinitionsSink for MemorySink {
    fn earlier(&self, server: &ObjectName) -> BoxFuture<'_, Option<ServerDefinitions>> {
        let kept = self.stored.lock().unwrap().get(server).cloned();
        Box::pin(async move { kept })
    }

    fn store(&self, catalogue: ServerDefinitions) -> BoxFuture<'_, Result<StoreReport, SinkError>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let fails = |left: usize| left.checked_sub(1);
        if self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails)
            .is_ok()
        {
            return Box::pin(async { Err(SinkError("no room".to_owned())) });
        }
        let mut kept = self.stored.lock().unwrap();
        kept.insert(catalogue.server.clone(), catalogue);
        Box::pin(async {
            Ok(StoreReport {
                effect: StoreEffect::Stored,
                problem: None,
            })
        })
    }
}

struct StaticHeaders;

impl HeaderSource for StaticHeaders {
    fn header(
        &self,
        _server: &ObjectName,
        credential: &CredentialRef,
        _url: &url::Url,
    ) -> BoxFuture<'_, Result<PresentedCredential, HeaderError>> {
        let known = credential.id.as_str() == "good";
        Box::pin(async move {
            if known {
                return Ok(PresentedCredential::header(
                    HeaderName::from_static("x-key"),
                    HeaderValue::from_static("k"),
                ));
            }
            Err(HeaderError("there is no such credential".to_owned()))
        })
    }
}

struct DiscoveryFixture {
    discovery: ServerDiscovery,
    targets: watch::Sender<Arc<ProbeTargets>>,
    sink: Arc<MemorySink>,
    system: ActorSystem,
    drain: Drain,
    _trigger: drain::DrainTrigger,
}

fn fixture(sink: MemorySink) -> DiscoveryFixture {
    let policy = EgressPolicy {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };
    let (drain, trigger) = drain::new();
    let (targets, receiver) = watch::channel(Arc::default());
    let sink = Arc::new(sink);
    let system = ActorSystem::start(1).unwrap();
    let options = DiscoveryOptions {
        http: Egress::new(policy).unwrap().http(PoolOptions::default()),
        cdn_id: CdnId::derive(&[1; 32]),
        headers: Arc::new(StaticHeaders),
        sink: Arc::<MemorySink>::clone(&sink),
        clock: clock::system(),
        implementation: Implementation {
            name: "toolgate".to_owned(),
            title: String::new(),
            version: "0".to_owned(),
        },
        schedule: ScheduleOptions {
            gap: Duration::from_millis(20),
            retry: Duration::from_millis(20),
            ..ScheduleOptions::default()
        },
        concurrency: 4,
        // Of content, not of time: a busy machine takes longer in a build without optimisation.
        list_limits: ListingLimits {
            time: Duration::from_secs(600),
            request_time: Duration::from_secs(60),
            ..ListingLimits::default()
        },
    };
    let discovery = ServerDiscovery::start(options, receiver, system.clone(), &drain);
    DiscoveryFixture {
        discovery,
        targets,
        sink,
        system,
        drain,
        _trigger: trigger,
    }
}

/// Upper bound of waits that only guard against a hang: far above any time that is promised, and below the time after which
/// a server is looked at again without any news.
const HANG_GUARD: Duration = Duration::from_secs(60);

fn name(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn target(id: &str, url: &str) -> ProbeTarget {
    ProbeTarget {
        server: name(id),
        endpoints: url.parse().unwrap(),
        credential: None,
        protocol: toolgate_client::ConfiguredProtocol::default(),
        timeouts: CallTimeouts {
            first_byte: Duration::from_secs(2),
            ..CallTimeouts::default()
        },
    }
}

impl DiscoveryFixture {
    fn want(&self, targets: impl IntoIterator<Item = ProbeTarget>) {
        let mut all = ProbeTargets::default();
        for target in targets {
            all.set(&target.server.clone(), Some(target));
        }
        self.targets.send_replace(Arc::new(all));
    }

    /// Waits until the stored definitions of `id` match `wanted`, and returns them.
    async fn kept(
        &self,
        id: &str,
        wanted: impl Fn(&ServerDefinitions) -> bool,
    ) -> ServerDefinitions {
        let waiting = async {
            loop {
                let kept = self.sink.stored.lock().unwrap().get(&name(id)).cloned();
                if let Some(catalogue) = kept.filter(|catalogue| wanted(catalogue)) {
                    return catalogue;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(HANG_GUARD, waiting).await;
        let kept = || self.sink.stored.lock().unwrap().get(&name(id)).cloned();
        waited.unwrap_or_else(|_| panic!("not seen: {:?}", kept()))
    }

    async fn serve<S>(&self, script: S) -> String
    where
        S: Fn(RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
    {
        fake_server::start(&self.drain, script).await.unwrap()
    }
}

fn tools(seen: &RecordedRequest, names: &[String]) -> ScriptedResponse {
    let tools: Vec<Value> = names.iter().map(|name| fake_server::tool(name)).collect();
    fake_server::result(seen, &json!({ "tools": tools, "resultType": "complete" }))
}

fn names(catalogue: &ServerDefinitions) -> Vec<&str> {
    catalogue
        .tools
        .iter()
        .map(|tool| tool.name.as_str())
        .collect()
}

fn well(catalogue: &ServerDefinitions) -> bool {
    catalogue.problem.is_none()
}

/// Answers as a modern server without a change feed.
fn modern(seen: &RecordedRequest) -> ScriptedResponse {
    match seen.rpc_method() {
        "server/discover" => fake_server::discovered(seen),
        "tools/list" => tools(seen, &["a".to_owned(), "b".to_owned()]),
        _ => fake_server::error(404, seen, -32601, &Value::Null),
    }
}

#[tokio::test]
async fn definitions_that_could_not_be_stored_are_stored_by_the_next_probe_though_nothing_changed()
{
    let house = fixture(MemorySink::default());
    let is_changed = Arc::new(AtomicBool::new(false));
    let changed = Arc::clone(&is_changed);
    let url = house
        .serve(move |seen| match seen.rpc_method() {
            "tools/list" if changed.load(Ordering::SeqCst) => tools(&seen, &["c".to_owned()]),
            _ => modern(&seen),
        })
        .await;
    house.want([target("files", &url)]);
    house.kept("files", well).await;
    is_changed.store(true, Ordering::SeqCst);
    house.sink.failures.store(1, Ordering::SeqCst);
    let mut again = target("files", &url);
    again.timeouts.first_byte = Duration::from_secs(3);
    house.want([again]);
    house.kept("files", |kept| names(kept) == ["c"]).await;
}

#[tokio::test]
async fn a_new_server_is_probed_immediately_in_either_era() {
    let house = fixture(MemorySink::default());
    let new = house.serve(|seen| modern(&seen)).await;
    let old = house
        .serve(|seen| match (seen.method.as_str(), seen.rpc_method()) {
            (_, "initialize") => fake_server::with_session(fake_server::initialized(&seen), "s"),
            (_, "tools/list") => tools(&seen, &["c".to_owned()]),
            (_, "server/discover") => fake_server::reply(400, "text/plain", "no session"),
            ("GET", _) => fake_server::reply(405, "text/plain", ""),
            _ => fake_server::accepted(),
        })
        .await;
    house.want([target("new", &new), target("old", &old)]);
    let catalogue = house.kept("new", well).await;
    assert_eq!(
        (catalogue.era, names(&catalogue)),
        (Some(Era::Modern), vec!["a", "b"])
    );
    assert_eq!(catalogue.protocol_version, "2026-07-28");
    let catalogue = house.kept("old", well).await;
    assert_eq!(
        (catalogue.era, names(&catalogue)),
        (Some(Era::Legacy), vec!["c"])
    );
    assert_eq!(catalogue.instructions, "be kind");
    assert_eq!(catalogue.protocol_version, "2025-11-25");
}

#[tokio::test]
async fn a_failing_server_keeps_its_tools_and_reports_a_problem_until_it_recovers() {
    let house = fixture(MemorySink::default());
    let status = Arc::new(AtomicU16::new(200));
    let current = Arc::clone(&status);
    let url = house
        .serve(move |seen| match current.load(Ordering::SeqCst) {
            200 => modern(&seen),
            other => fake_server::reply(other, "text/plain", "down"),
        })
        .await;
    house.want([target("s", &url)]);
    house.kept("s", well).await;
    status.store(503, Ordering::SeqCst);
    let seen = house.discovery.probe_now(name("s")).await.unwrap();
    assert_eq!(names(&seen), ["a", "b"]);
    assert_eq!(seen.era, Some(Era::Modern));
    assert!(
        seen.problem.as_ref().unwrap().text.contains("503"),
        "{:?}",
        seen.problem
    );
    assert_eq!(
        house.sink.stored.lock().unwrap().get(&name("s")),
        Some(&seen)
    );
    status.store(200, Ordering::SeqCst);
    house.kept("s", well).await;
}

#[tokio::test]
async fn a_gateway_of_this_deployment_is_named_by_a_cause_and_keeps_no_definitions() {
    let house = fixture(MemorySink::default());
    let looped = Arc::new(AtomicBool::new(false));
    let (current, marks) = (Arc::clone(&looped), Arc::new(Mutex::new(Vec::new())));
    let seen_marks = Arc::clone(&marks);
    let script = move |seen: RecordedRequest| {
        let mut seen_marks = seen_marks.lock().unwrap();
        seen_marks.push(seen.header(CDN_LOOP).to_owned());
        if !current.load(Ordering::SeqCst) {
            return modern(&seen);
        }
        let kind = CdnLoopError::PassedBefore.kind();
        let error = json!({"code": -32603, "message": "loop", "data": {(DATA_REFUSAL): kind}});
        let body = json!({"jsonrpc": "2.0", "id": null, "error": error});
        fake_server::reply(508, "application/json", body.to_string())
    };
    let url = house.serve(script).await;
    house.want([target("s", &url)]);
    house.kept("s", well).await;
    looped.store(true, Ordering::SeqCst);
    let seen = house.discovery.probe_now(name("s")).await.unwrap();
    let problem = seen.problem.as_ref().unwrap();
    assert_eq!(problem.failure, Some(ProbeFailure::GatewayLoop));
    assert!(problem.text.contains("gateway of this deployment"));
    assert_eq!(names(&seen), Vec::<&str>::new());
    let own = CdnId::derive(&[1; 32]).to_string();
    assert!(marks.lock().unwrap().iter().all(|mark| *mark == own));
    looped.store(false, Ordering::SeqCst);
    house.kept("s", well).await;
}

#[tokio::test]
async fn stored_definitions_are_loaded_after_a_restart() {
    let sink = MemorySink::default();
    let mut earlier = ServerDefinitions {
        server: name("s"),
        era: Some(Era::Legacy),
        protocol_version: "2025-06-18".to_owned(),
        legacy_version: String::new(),
        server_name: String::new(),
        server_version: String::new(),
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        tools: Vec::new(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: toolgate_model::Timestamp(0),
        problem: None,
        problem_since: None,
        omissions: Vec::new(),
        parts: Vec::new(),
    };
    earlier.tools.push(toolgate_model::Definition {
        name: "kept".to_owned(),
        digest: toolgate_model::Digest([0; 32]),
        json: "{}".into(),
    });
    sink.stored.lock().unwrap().insert(name("s"), earlier);
    let house = fixture(sink);
    house.want([target("s", "http://127.0.0.1:1/mcp")]);
    let catalogue = house
        .kept("s", |catalogue| catalogue.problem.is_some())
        .await;
    assert_eq!(names(&catalogue), ["kept"]);
    let problem = catalogue.problem.unwrap();
    assert!(problem.text.contains("check"), "{problem:?}");
    assert_eq!(problem.failure, Some(ProbeFailure::Unreachable));
    assert_eq!(catalogue.problem_since, Some(catalogue.probed));
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_has_ended_is_started_again_while_other_targets_change_all_the_time() {
    let house = fixture(MemorySink::default());
    let nowhere = "http://127.0.0.1:1/mcp";
    let mut targets = ProbeTargets::default();
    targets.set(&name("s"), Some(target("s", nowhere)));
    house.targets.send_replace(Arc::new(targets.clone()));
    let ended = loop {
        match house.discovery.handle(&name("s")) {
            Some(handle) => break handle,
            None => tokio::task::yield_now().await,
        }
    };
    ended.stop();
    while !ended.is_gone() {
        tokio::task::yield_now().await;
    }
    for second in 0..2 * CHECK_INTERVAL.as_secs() {
        let mut changed = target("other", nowhere);
        changed.timeouts.first_byte = Duration::from_secs(1 + second);
        targets.set(&name("other"), Some(changed));
        house.targets.send_replace(Arc::new(targets.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let running = house.discovery.handle(&name("s")).unwrap();
    assert_ne!(running.id(), ended.id());
}

#[tokio::test]
async fn tool_changes_are_detected_through_the_feeds_of_both_eras() {
    let house = fixture(MemorySink::default());
    for era in [Era::Modern, Era::Legacy] {
        let count = Arc::new(AtomicUsize::new(1));
        let feeds = Arc::new(Mutex::new(Vec::new()));
        let (counted, opened) = (Arc::clone(&count), Arc::clone(&feeds));
        let url = house
            .serve(move |seen| {
                let open = || {
                    let (events, response) = fake_server::stream();
                    opened.lock().unwrap().push(events);
                    response
                };
                match (seen.method.as_str(), seen.rpc_method()) {
                    (_, "server/discover") if era == Era::Modern => fake_server::discovered(&seen),
                    (_, "initialize") => {
                        fake_server::with_session(fake_server::initialized(&seen), "s")
                    }
                    (_, "tools/list") => {
                        let many = counted.load(Ordering::SeqCst);
                        tools(
                            &seen,
                            &(0..many).map(|n| format!("t{n}")).collect::<Vec<_>>(),
                        )
                    }
                    ("GET", _) | (_, "subscriptions/listen") => open(),
                    ("DELETE", _) | (_, "notifications/initialized") => fake_server::accepted(),
                    _ => fake_server::reply(400, "text/plain", ""),
                }
            })
            .await;
        let id = if era == Era::Modern { "new" } else { "old" };
        house.want([target(id, &url)]);
        house.kept(id, |catalogue| catalogue.tools.len() == 1).await;
        count.store(2, Ordering::SeqCst);
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        let events = loop {
            if let Some(events) = feeds.lock().unwrap().last().cloned() {
                break events;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        events.send(fake_server::event(&changed)).await.unwrap();
        let catalogue = house.kept(id, |catalogue| catalogue.tools.len() == 2).await;
        assert_eq!(catalogue.era, Some(era));
    }
}

/// The tools change while they are listed for the first time. The change is announced, because the feed is open before
/// the list is read.
#[tokio::test]
async fn a_change_during_a_listing_is_not_missed() {
    let house = fixture(MemorySink::default());
    let count = Arc::new(AtomicUsize::new(1));
    let feed = Arc::new(Mutex::new(None));
    let url = house
        .serve(move |seen| match seen.rpc_method() {
            "server/discover" => fake_server::discovered(&seen),
            "subscriptions/listen" => {
                let (events, response) = fake_server::stream();
                *feed.lock().unwrap() = Some(events);
                response
            }
            "tools/list" => {
                let many = count.swap(2, Ordering::SeqCst);
                let names: Vec<String> = (0..many).map(|n| format!("t{n}")).collect();
                let answer = tools(&seen, &names);
                let changed =
                    json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
                if let Some(events) = feed.lock().unwrap().as_ref().filter(|_| many == 1) {
                    events.try_send(fake_server::event(&changed)).unwrap();
                }
                answer
            }
            _ => fake_server::error(404, &seen, -32601, &Value::Null),
        })
        .await;
    house.want([target("s", &url)]);
    house
        .kept("s", |catalogue| catalogue.tools.len() == 2)
        .await;
}

#[tokio::test]
async fn invalid_servers_are_capped_and_reported() {
    let house = fixture(MemorySink::default());
    let url = house
        .serve(|seen| match (seen.header("x-key"), seen.rpc_method()) {
            (_, "server/discover") => fake_server::discovered(&seen),
            (_, "tools/list") => {
                let mut tools = vec![fake_server::tool("same"), fake_server::tool("same")];
                let fat =
                    json!({ "name": "fat", "inputSchema": {}, "description": "x".repeat(300_000) });
                tools.extend([fat, fake_server::tool("bad\u{1b}name")]);
                let next =
                    json!({ "tools": tools, "nextCursor": "again", "resultType": "complete" });
                fake_server::result(&seen, &next)
            }
            _ => fake_server::error(404, &seen, -32601, &Value::Null),
        })
        .await;
    house.want([target("s", &url)]);
    let catalogue = house.kept("s", |_| true).await;
    assert_eq!(names(&catalogue), ["same"]);
    let problem = catalogue.problem.unwrap();
    assert_eq!(problem.outcome, ProbeOutcome::Warned);
    let problem = problem.text;
    let bad = "characters that can be seen";
    for words in ["would never end", "same name", bad] {
        assert!(problem.contains(words), "{words}: {problem}");
    }
    assert!(catalogue.omissions[0].contains("`fat`: its definition is larger than"));
}

#[tokio::test]
async fn credentials_are_sent_and_a_missing_one_is_reported() {
    let house = fixture(MemorySink::default());
    let url = house
        .serve(|seen| {
            if seen.header("x-key") == "k" {
                return modern(&seen);
            }
            fake_server::reply(401, "text/plain", "")
        })
        .await;
    let with = |id: &str, credential: &str| ProbeTarget {
        credential: Some(CredentialRef {
            id: credential.parse().unwrap(),
            revision: 1,
            scope: Default::default(),
        }),
        ..target(id, &url)
    };
    house.want([
        target("none", &url),
        with("good", "good"),
        with("bad", "bad"),
    ]);
    house.kept("good", well).await;
    let none = house.kept("none", |_| true).await;
    let problem = none.problem.unwrap();
    assert!(problem.text.ends_with("give it a credential"));
    assert_eq!(problem.failure, Some(ProbeFailure::Credential));
    let bad = house.kept("bad", |_| true).await;
    let problem = bad.problem.unwrap();
    assert!(problem.text.contains("no such credential"));
    assert_eq!(problem.failure, Some(ProbeFailure::Credential));
    // A corrected credential is used at once.
    house.want([with("none", "good")]);
    house.kept("none", well).await;
}

#[tokio::test]
async fn a_probe_on_demand_waits_for_a_new_server_and_fails_for_an_unknown_one() {
    let house = fixture(MemorySink::default());
    let url = house.serve(|seen| modern(&seen)).await;
    let asking = house.discovery.probe_now(name("s"));
    let telling = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.want([target("s", &url)]);
    };
    let (seen, ()) = tokio::join!(asking, telling);
    assert_eq!(names(&seen.unwrap()), ["a", "b"]);
    let unknown = house.discovery.probe_now(name("nobody")).await;
    assert_eq!(unknown, Err(ProbeError::NoSuchServer));
}

#[tokio::test]
async fn removed_servers_stop_probing_and_equal_targets_cause_no_write() {
    let house = fixture(MemorySink::default());
    let url = house.serve(|seen| modern(&seen)).await;
    house.want([target("a", &url), target("b", &url)]);
    house.kept("a", well).await;
    house.kept("b", well).await;
    let writes = house.sink.writes.load(Ordering::SeqCst);
    // Sending equal targets again starts nothing.
    house.want([target("a", &url), target("b", &url)]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.sink.writes.load(Ordering::SeqCst), writes);
    house.want([target("a", &url)]);
    let ended = async {
        while house.system.counts().get("probe") != Some(&1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = timeout(HANG_GUARD, ended).await;
    assert!(ended.is_ok(), "still there: {:?}", house.system.counts());
}

/// A probe that began before the request would show the server as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_on_demand_does_not_join_an_older_probe() {
    let house = fixture(MemorySink::default());
    let listed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let lists = Arc::clone(&listed);
    let url = house
        .serve(move |seen| {
            if seen.rpc_method() == "tools/list" {
                let before = lists.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                // The first list is slow, and shows the server as it was.
                std::thread::sleep(Duration::from_millis(if before == 0 { 300 } else { 0 }));
                let tool = if before == 0 { "old" } else { "new" };
                return tools(&seen, &[tool.to_owned()]);
            }
            modern(&seen)
        })
        .await;
    house.want([target("s", &url)]);
    while listed.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seen = house.discovery.probe_now(name("s")).await.unwrap();
    assert_eq!(names(&seen), ["new"]);
}

#[tokio::test]
async fn a_modern_server_that_speaks_the_legacy_era_too_is_found_unless_its_era_is_set() {
    let house = fixture(MemorySink::default());
    let sole_initializes = Arc::new(AtomicU16::new(0));
    let initializes = Arc::clone(&sole_initializes);
    let sole = house.serve(move |seen| match seen.rpc_method() {
        "initialize" => {
            initializes.fetch_add(1, Ordering::SeqCst);
            fake_server::initialized(&seen)
        }
        "server/discover" => fake_server::discovered_with_versions(&seen, &["2026-07-28"]),
        _ => modern(&seen),
    });
    let sole = sole.await;
    let serve = |both: bool, ended: Arc<AtomicU16>| {
        house.serve(move |seen| {
            if seen.method == http::Method::DELETE {
                ended.fetch_add(1, Ordering::SeqCst);
                return fake_server::reply(200, "text/plain", "");
            }
            match seen.rpc_method() {
                "initialize" if both => {
                    fake_server::with_session(fake_server::initialized(&seen), "s")
                }
                _ => modern(&seen),
            }
        })
    };
    let ended = Arc::new(AtomicU16::new(0));
    let both = serve(true, Arc::clone(&ended)).await;
    let one = serve(false, Arc::default()).await;
    let pinned = ProbeTarget {
        protocol: toolgate_client::ConfiguredProtocol {
            era: toolgate_model::EraPolicy::Modern,
            version: None,
        },
        ..target("pinned", &both)
    };
    house.want([
        target("both", &both),
        target("one", &one),
        target("sole", &sole),
        pinned,
    ]);
    for (id, legacy) in [
        ("both", "2025-11-25"),
        ("one", ""),
        ("sole", ""),
        ("pinned", ""),
    ] {
        let seen = house.kept(id, well).await;
        assert_eq!(
            (seen.era, &*seen.legacy_version),
            (Some(Era::Modern), legacy),
            "{id}"
        );
    }
    assert_eq!(
        ended.load(Ordering::SeqCst),
        1,
        "the session of the probe is ended"
    );
    assert_eq!(
        sole_initializes.load(Ordering::SeqCst),
        0,
        "a server that names no legacy version is sent no `initialize`"
    );
}
