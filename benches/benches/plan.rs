//! Planning of one request (parse, classify, plan) on a gateway with 500 tools.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use toolgate_benches::fixture::{ConfigFixture, FixtureSize, HASH};
use toolgate_data_core::client_state::StateKey;
use toolgate_data_core::plan::{EndpointRequest, PostedMessage, SessionLookup};
use toolgate_data_core::session::session_id::{ClientCapabilities, SessionClaims};
use toolgate_data_core::{Caller, ClientStateCipher, Plan, PlanInput, plan};
use toolgate_mcp::headers::{ReceivedHeader, StandardHeaders};
use toolgate_mcp::{FrameLimits, envelope, era};
use toolgate_model::Timestamp;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const TOOL: &str = "server-3__search_017";

struct PlanFixture {
    world: ConfigFixture,
    caller: Caller,
    cipher: ClientStateCipher,
    session: SessionClaims,
}

fn fixture() -> Option<PlanFixture> {
    let world = ConfigFixture::new(FixtureSize {
        servers: 10,
        tools: 50,
        gateways: 0,
    })
    .ok()?;
    let caller = world.view.caller(&HASH.into())?.clone();
    let cipher = ClientStateCipher::new(&[StateKey {
        epoch: 1,
        secret: vec![1; 32].into(),
    }])
    .ok()?;
    let session = SessionClaims {
        version: "2025-11-25",
        capabilities: ClientCapabilities::default(),
        issued: Timestamp(1),
        random: [7; 16],
        owner: toolgate_data_core::OwningProxy::new("proxy-1".parse().ok()?, None),
        opener: Default::default(),
    };
    Some(PlanFixture {
        world,
        caller,
        cipher,
        session,
    })
}

impl PlanFixture {
    fn decide(
        &self,
        body: &str,
        headers: StandardHeaders<'_>,
        session: SessionLookup<'_>,
    ) -> Option<Plan> {
        let envelope = envelope::parse(body.as_bytes(), &FrameLimits::REQUEST).ok()?;
        let era = era::classify(headers.version, session != SessionLookup::Absent, &envelope);
        let post = PostedMessage {
            era: &era,
            envelope: &envelope,
            headers,
            params: &[],
        };
        Some(plan(&PlanInput {
            gateway: self.world.view.gateway("main")?,
            caller: &self.caller,
            request: EndpointRequest::Post(post),
            trace: None,
            session,
            cipher: &self.cipher,
            now: Timestamp(1),
        }))
    }
}

fn plans(criterion: &mut Criterion) {
    let Some(stage) = fixture() else { return };
    let call = |meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{TOOL}","arguments":{{"query":"x"}}{meta}}}}}"#
        )
    };
    let modern = StandardHeaders {
        version: ReceivedHeader::Once(b"2026-07-28"),
        method: ReceivedHeader::Once(b"tools/call"),
        name: ReceivedHeader::Once(TOOL.as_bytes()),
    };
    let body = call(&format!(",{META}"));
    criterion.bench_function("plan/call, modern", |bencher| {
        bencher.iter(|| stage.decide(black_box(&body), modern, SessionLookup::Absent));
    });
    let legacy = StandardHeaders {
        version: ReceivedHeader::Once(b"2025-11-25"),
        ..StandardHeaders::default()
    };
    let body = call("");
    criterion.bench_function("plan/call, legacy", |bencher| {
        bencher.iter(|| {
            stage.decide(
                black_box(&body),
                legacy,
                SessionLookup::Valid(&stage.session),
            )
        });
    });
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META}}}}}"#);
    let list = StandardHeaders {
        version: ReceivedHeader::Once(b"2026-07-28"),
        method: ReceivedHeader::Once(b"tools/list"),
        name: ReceivedHeader::Absent,
    };
    criterion.bench_function("plan/list, 500 tools", |bencher| {
        bencher.iter(|| stage.decide(black_box(&body), list, SessionLookup::Absent));
    });
}

criterion_group!(benches, plans);
criterion_main!(benches);
