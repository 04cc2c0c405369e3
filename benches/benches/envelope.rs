//! Parsing of a JSON-RPC frame, strict and without copies: small, with `_meta`, and large.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use toolgate_mcp::{FrameLimits, envelope};

fn frames() -> Vec<(&'static str, String)> {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":7}"#;
    let call = |text: &str, meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{{"name":"files__read","arguments":{{"text":"{text}"}}{meta}}}}}"#
        )
    };
    vec![
        ("legacy call", call("hello", "")),
        ("modern call", call("hello", &format!(",{meta}"))),
        ("16 KiB", call(&"x".repeat(16 << 10), &format!(",{meta}"))),
        ("1 MiB", call(&"x".repeat(1 << 20), &format!(",{meta}"))),
    ]
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    for (name, frame) in frames() {
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            &frame,
            |bencher, frame| {
                bencher.iter(|| {
                    envelope::parse(black_box(frame.as_bytes()), &FrameLimits::REQUEST).is_ok()
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
