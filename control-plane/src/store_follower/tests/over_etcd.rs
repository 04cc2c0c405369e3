//! The follower over a real etcd whose watch loses and doubles events.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use toolgate_control_core::{Command, ObjectKey, OperatorObject, Revision};

use crate::{
    fixture::{
        FaultyStore, HANG_GUARD, WritePathFixture, etcd_process::EtcdProcess, name, ready,
        start_comparing, token,
    },
    store_follower::COMPARE_INTERVAL,
};

const WRITERS: usize = 10;

/// Creates tokens, and deletes every third of them at once. Returns the revision of the last write.
async fn write(plane: &WritePathFixture, writer: usize, changes: usize) -> Revision {
    let mut last = 0;
    for change in 0..changes {
        let id = format!("t{writer}-{}", change - usize::from(change % 4 == 3));
        if change % 4 < 3 {
            let token = OperatorObject::Token(token(&id));
            last = plane.create(token).await.unwrap().revision;
            continue;
        }
        let delete = Command::Delete {
            key: ObjectKey::Token(name(&id)),
            expected: None,
        };
        last = plane.run(delete).await.unwrap().revision;
    }
    last
}

fn repairs(plane: &WritePathFixture) -> u64 {
    let metrics = plane.metrics.render();
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("toolgate_store_repairs"));
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.unwrap().parse().unwrap()
}

/// Of a hundred events, one is lost, and another one is doubled. In a drill, ten thousand changes and the interval of the product.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_a_watch_over_etcd_loses_or_doubles_are_repaired_by_the_next_comparison() {
    let is_drill = std::env::var_os("TOOLGATE_TEST_DRILL").is_some();
    let (changes, interval) = match is_drill {
        true => (10_000, COMPARE_INTERVAL),
        false => (640, Duration::from_secs(2)),
    };
    let etcd = EtcdProcess::start().await;
    let plane = ready(etcd.store()).await;
    let store = FaultyStore::new();
    store.restore(etcd.store());
    store.drops_one_in.store(100, Ordering::Relaxed);
    store.doubles_one_in.store(100, Ordering::Relaxed);
    let lossy = start_comparing(store, interval);
    lossy.readiness.ready().await;

    let writers = (0..WRITERS).map(|writer| write(&plane, writer, changes / WRITERS));
    let last = join_all(writers).await.into_iter().max().unwrap();
    let start = Instant::now();
    plane.shows(|state| state.revision() >= last).await;
    let expected = plane.published();
    assert_eq!(expected.state.tokens.len(), changes / 2);
    loop {
        let published = lossy.published();
        let is_equal = published.state.tokens == expected.state.tokens
            && published.compiled.snapshot.entries == expected.compiled.snapshot.entries;
        if is_equal {
            break;
        }
        assert!(
            start.elapsed() < interval + HANG_GUARD,
            "{} of {} tokens",
            published.state.tokens.len(),
            expected.state.tokens.len()
        );
        sleep(Duration::from_millis(20)).await;
    }
    let took = start.elapsed();
    println!(
        "equal {took:?} after the last change, {} repairs",
        repairs(&lossy)
    );
    // The comparison itself takes some time.
    assert!(
        !is_drill || took < interval + Duration::from_secs(2),
        "{took:?}"
    );
    assert!(repairs(&lossy) > 0);
    assert_eq!(repairs(&plane), 0, "only the lossy one is repaired");
}
