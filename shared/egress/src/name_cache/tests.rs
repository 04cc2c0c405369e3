//! Tests of the cache of look-ups.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tokio::time::{advance, sleep, timeout};

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_once_while_its_answer_lasts_also_without_an_address() {
    let cache = NameCache::default();
    for (name, found) in [
        ("known.example", vec![ADDRESS]),
        ("unknown.example", vec![]),
    ] {
        let look_ups = AtomicUsize::new(0);
        let get = || {
            cache.get(name, async {
                look_ups.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                NameLookUp::Found(found.clone())
            })
        };
        let all = join_all((0..10).map(|_| get())).await;
        assert!(all.iter().all(|addresses| **addresses == *found), "{name}");
        assert_eq!(look_ups.load(Ordering::SeqCst), 1, "{name}");
        advance(RETENTION - Duration::from_secs(2)).await;
        get().await;
        assert_eq!(look_ups.load(Ordering::SeqCst), 1, "{name}");
        advance(Duration::from_secs(3)).await;
        get().await;
        assert_eq!(look_ups.load(Ordering::SeqCst), 2, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_names_is_bounded_and_old_ones_make_room() {
    let cache = NameCache::default();
    let count = |cache: &NameCache| cache.names.lock().unwrap().len();
    for at in 0..MAX_NAMES + 10 {
        cache
            .get(&format!("n{at}.example"), async {
                NameLookUp::Found(vec![ADDRESS])
            })
            .await;
    }
    assert_eq!(count(&cache), MAX_NAMES);
    advance(RETENTION).await;
    cache
        .get("another.example", async { NameLookUp::Found(Vec::new()) })
        .await;
    assert_eq!(count(&cache), 1);
}

/// A look-up that is given up leaves no answer.
#[tokio::test(start_paused = true)]
async fn a_cancelled_look_up_is_repeated() {
    let cache = NameCache::default();
    let endless = cache.get("slow.example", std::future::pending());
    let given_up = tokio::time::timeout(Duration::from_secs(1), endless).await;
    assert!(given_up.is_err());
    let addresses = cache
        .get("slow.example", async { NameLookUp::Found(vec![ADDRESS]) })
        .await;
    assert_eq!(*addresses, [ADDRESS]);
}

/// Asks for a name whose look-up takes as long as the resolver needs, at most 1 s, and returns the number of addresses.
async fn resolved(
    cache: &NameCache,
    look_ups: &AtomicUsize,
    resolver: impl Future<Output = io::Result<Vec<IpAddr>>>,
) -> usize {
    let look_up = async {
        look_ups.fetch_add(1, Ordering::SeqCst);
        NameLookUp::from(timeout(Duration::from_secs(1), resolver).await)
    };
    cache.get("a.example", look_up).await.len()
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_an_answer_only_for_those_who_waited_for_it() {
    let cache = NameCache::default();
    let look_ups = AtomicUsize::new(0);
    let start = Instant::now();
    let waiting = (0..10).map(|_| resolved(&cache, &look_ups, std::future::pending()));
    assert_eq!(join_all(waiting).await, [0; 10]);
    assert_eq!(look_ups.load(Ordering::SeqCst), 1);
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let found = async { Ok(vec![ADDRESS]) };
    assert_eq!(resolved(&cache, &look_ups, found).await, 1);
    assert_eq!(look_ups.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_resolver_is_used_for_a_shorter_time_than_an_answer() {
    let cache = NameCache::default();
    let look_ups = AtomicUsize::new(0);
    let failed = async { Err(io::Error::other("temporary failure in name resolution")) };
    assert_eq!(resolved(&cache, &look_ups, failed).await, 0);
    let found = || async { Ok(vec![ADDRESS]) };
    advance(ERROR_RETENTION - Duration::from_millis(1)).await;
    assert_eq!(resolved(&cache, &look_ups, found()).await, 0);
    assert_eq!(look_ups.load(Ordering::SeqCst), 1);
    advance(Duration::from_millis(1)).await;
    assert_eq!(resolved(&cache, &look_ups, found()).await, 1);
    assert_eq!(look_ups.load(Ordering::SeqCst), 2);
    advance(ERROR_RETENTION).await;
    assert_eq!(resolved(&cache, &look_ups, found()).await, 1);
    assert_eq!(look_ups.load(Ordering::SeqCst), 2);
}
