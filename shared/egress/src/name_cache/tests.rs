//! Tests of the cache of look-ups.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tokio::time::{advance, sleep};

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
                found.clone()
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
            .get(&format!("n{at}.example"), async { vec![ADDRESS] })
            .await;
    }
    assert_eq!(count(&cache), MAX_NAMES);
    advance(RETENTION).await;
    cache.get("another.example", async { Vec::new() }).await;
    assert_eq!(count(&cache), 1);
}

/// A look-up that is given up leaves no answer.
#[tokio::test(start_paused = true)]
async fn a_cancelled_look_up_is_repeated() {
    let cache = NameCache::default();
    let endless = cache.get("slow.example", std::future::pending());
    let given_up = tokio::time::timeout(Duration::from_secs(1), endless).await;
    assert!(given_up.is_err());
    let addresses = cache.get("slow.example", async { vec![ADDRESS] }).await;
    assert_eq!(*addresses, [ADDRESS]);
}
