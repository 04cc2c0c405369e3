//! Planning of one request (parse, classify, plan) on a gateway with 500 tools.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use toolgate_benches::world::{HASH, Size, World};
use toolgate_data_core::plan::{Ask, Post, Presented};
use toolgate_data_core::seal::SealKey;
use toolgate_data_core::session_id::{ClientCapabilities, SessionFacts};
use toolgate_data_core::{Caller, Plan, PlanInput, Sealer, plan};
use toolgate_mcp::headers::{Seen, Standard};
use toolgate_mcp::{Limits, envelope, era};
use toolgate_model::Timestamp;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const TOOL: &str = "server-3__search_017";

struct Stage {
    world: World,
    caller: Caller,
    sealer: Sealer,
    session: SessionFacts,
}

fn stage() -> Option<Stage> {
    let world = World::new(Size {
        servers: 10,
        tools: 50,
        gateways: 0,
    })
    .ok()?;
    let caller = Caller::new(Arc::clone(world.view.token(&HASH)?));
    let sealer = Sealer::new(&[SealKey {
        epoch: 1,
        secret: vec![1; 32].into(),
    }])
    .ok()?;
    let session = SessionFacts {
        version: "2025-11-25",
        capabilities: ClientCapabilities::default(),
        issued: Timestamp(1),
        random: [7; 16],
        home: toolgate_data_core::Home::new("proxy-1".parse().ok()?, None),
    };
    Some(Stage {
        world,
        caller,
        sealer,
        session,
    })
}

impl Stage {
    fn decide(&self, body: &str, headers: Standard<'_>, session: Presented<'_>) -> Option<Plan> {
        let envelope = envelope::parse(body.as_bytes(), &Limits::REQUEST).ok()?;
        let framing = era::classify(headers.version, session != Presented::Absent, &envelope);
        let post = Post {
            framing: &framing,
            envelope: &envelope,
            headers,
            params: &[],
        };
        Some(plan(&PlanInput {
            gateway: self.world.view.gateway("main")?,
            caller: &self.caller,
            ask: Ask::Post(post),
            trace: None,
            session,
            sealer: &self.sealer,
            now: Timestamp(1),
        }))
    }
}

fn plans(criterion: &mut Criterion) {
    let Some(stage) = stage() else { return };
    let call = |meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{TOOL}","arguments":{{"query":"x"}}{meta}}}}}"#
        )
    };
    let modern = Standard {
        version: Seen::Once(b"2026-07-28"),
        method: Seen::Once(b"tools/call"),
        name: Seen::Once(TOOL.as_bytes()),
    };
    let body = call(&format!(",{META}"));
    criterion.bench_function("plan/call, modern", |bencher| {
        bencher.iter(|| stage.decide(black_box(&body), modern, Presented::Absent));
    });
    let legacy = Standard {
        version: Seen::Once(b"2025-11-25"),
        ..Standard::default()
    };
    let body = call("");
    criterion.bench_function("plan/call, legacy", |bencher| {
        bencher.iter(|| stage.decide(black_box(&body), legacy, Presented::Open(&stage.session)));
    });
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META}}}}}"#);
    let list = Standard {
        version: Seen::Once(b"2026-07-28"),
        method: Seen::Once(b"tools/list"),
        name: Seen::Absent,
    };
    criterion.bench_function("plan/list, 500 tools", |bencher| {
        bencher.iter(|| stage.decide(black_box(&body), list, Presented::Absent));
    });
}

criterion_group!(benches, plans);
criterion_main!(benches);
