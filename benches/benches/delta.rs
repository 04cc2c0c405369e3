//! Deltas of a snapshot: computing, applying, and indexing as a view.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use toolgate_benches::fixture::{ConfigFixture, FixtureSize};
use toolgate_control_core::recompile;
use toolgate_data_core::View;

const SIZE: FixtureSize = FixtureSize {
    servers: 200,
    tools: 20,
    gateways: 200,
};

fn delta(criterion: &mut Criterion) {
    let Ok(world) = ConfigFixture::new(SIZE) else {
        return;
    };
    let Ok(changed) = world.changed(SIZE) else {
        return;
    };
    let next = recompile(&changed, &world.compiled).snapshot;
    let held = world.compiled.snapshot.digests();
    let found = next.since(&held);
    criterion.bench_function("delta/found", |bencher| {
        bencher.iter(|| next.since(black_box(&held)));
    });
    criterion.bench_function("delta/applied", |bencher| {
        bencher.iter(|| world.compiled.snapshot.apply(black_box(&found)));
    });
    criterion.bench_function("delta/view from nothing", |bencher| {
        bencher.iter(|| View::build(black_box(&next), None));
    });
    criterion.bench_function("delta/view from the last one", |bencher| {
        bencher.iter(|| View::build(black_box(&next), Some(&world.view)));
    });
}

criterion_group!(benches, delta);
criterion_main!(benches);
