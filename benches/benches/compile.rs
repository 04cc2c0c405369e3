//! Compilation of a state into a snapshot: in full, and after one change.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use toolgate_benches::fixture::{ConfigFixture, FixtureSize};
use toolgate_control_core::{compile, recompile};

const SIZE: FixtureSize = FixtureSize {
    servers: 200,
    tools: 20,
    gateways: 200,
};

fn whole(criterion: &mut Criterion) {
    let Ok(world) = ConfigFixture::new(SIZE) else {
        return;
    };
    criterion.bench_function(
        "compile/whole: 200 servers, 4,000 tools, 201 gateways",
        |bencher| {
            bencher.iter(|| compile(black_box(&world.state)));
        },
    );
}

fn again(criterion: &mut Criterion) {
    let Ok(world) = ConfigFixture::new(SIZE) else {
        return;
    };
    let Ok(changed) = world.changed(SIZE) else {
        return;
    };
    criterion.bench_function("compile/again: one catalogue changed", |bencher| {
        bencher.iter_batched(
            || &changed,
            |changed| recompile(black_box(changed), black_box(&world.compiled)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, whole, again);
criterion_main!(benches);
