//! Tests of change feeds that end, announce at once, open late, or cannot be opened.

use super::*;

/// Builds a server with tools whose feeds are opened by `listen`, which receives the number of earlier feeds.
fn server<L>(
    many: &Arc<AtomicUsize>,
    listen: L,
) -> impl Fn(RecordedRequest) -> ScriptedResponse + use<L>
where
    L: Fn(usize, &RecordedRequest) -> ScriptedResponse,
{
    let (many, opened) = (Arc::clone(many), AtomicUsize::new(0));
    move |seen| match seen.rpc_method() {
        "server/discover" => fake_server::discovered(&seen),
        "subscriptions/listen" => listen(opened.fetch_add(1, Ordering::SeqCst), &seen),
        "tools/list" => {
            let many = many.load(Ordering::SeqCst);
            let names: Vec<String> = (0..many).map(|n| format!("t{n}")).collect();
            tools(&seen, &names)
        }
        _ => fake_server::error(404, &seen, -32601, &Value::Null),
    }
}

fn changed() -> bytes::Bytes {
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    fake_server::event(&changed)
}

#[tokio::test]
async fn a_change_during_a_feed_outage_is_found_soon_after_it() {
    let house = fixture(MemorySink::default());
    let (many, feeds) = (Arc::new(AtomicUsize::new(1)), Arc::default());
    let open: Arc<Mutex<Vec<fake_server::EventSender>>> = Arc::clone(&feeds);
    let script = server(&many, move |_, _| {
        let (events, response) = fake_server::stream();
        open.lock().unwrap().push(events);
        response
    });
    let url = house.serve(script).await;
    house.want([target("s", &url)]);
    house.kept("s", |seen| seen.tools.len() == 1).await;
    many.store(2, Ordering::SeqCst);
    feeds.lock().unwrap().clear();
    // Soon: before its lists would have been read again anyway, which is after five minutes.
    house.kept("s", |seen| seen.tools.len() == 2).await;
    // And what changes after it is heard on another one.
    many.store(3, Ordering::SeqCst);
    let events = feeds.lock().unwrap().last().cloned().unwrap();
    events.send(changed()).await.unwrap();
    house.kept("s", |seen| seen.tools.len() == 3).await;
}

#[tokio::test]
async fn announcements_before_the_listing_cause_no_second_probe() {
    let house = fixture(MemorySink::default());
    let many = Arc::new(AtomicUsize::new(1));
    let opened = Arc::new(AtomicUsize::new(0));
    let (held, count) = (Mutex::new(Vec::new()), Arc::clone(&opened));
    let script = server(&many, move |_, _| {
        let (events, response) = fake_server::stream();
        for _ in 0..3 {
            events.try_send(changed()).unwrap();
        }
        held.lock().unwrap().push(events);
        count.fetch_add(1, Ordering::SeqCst);
        response
    });
    let url = house.serve(script).await;
    house.want([target("s", &url)]);
    house.kept("s", |seen| seen.tools.len() == 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(opened.load(Ordering::SeqCst), 1, "looks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_feed_does_not_delay_the_first_listing_and_is_used_afterwards() {
    let house = fixture(MemorySink::default());
    let (many, feeds) = (Arc::new(AtomicUsize::new(1)), Arc::default());
    let open: Arc<Mutex<Vec<fake_server::EventSender>>> = Arc::clone(&feeds);
    // The first feed stands as soon as this one is let go of.
    let (stands, late) = std::sync::mpsc::sync_channel::<()>(0);
    let late = Mutex::new(late);
    let script = server(&many, move |before, _| {
        let (events, response) = fake_server::stream();
        if before == 0 {
            let late = late.lock().unwrap();
            let _stands = tokio::task::block_in_place(|| late.recv());
        }
        open.lock().unwrap().push(events);
        response
    });
    let url = house.serve(script).await;
    let mut patient = target("s", &url);
    patient.timeouts = CallTimeouts::default();
    house.want([patient]);
    house.kept("s", |seen| seen.tools.len() == 1).await;
    assert!(feeds.lock().unwrap().is_empty(), "the feed does not stand");
    drop(stands);
    many.store(2, Ordering::SeqCst);
    let events = loop {
        if let Some(events) = feeds.lock().unwrap().last().cloned() {
            break events;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    events.send(changed()).await.unwrap();
    house.kept("s", |seen| seen.tools.len() == 2).await;
}

#[tokio::test]
async fn a_feed_that_cannot_be_opened_is_retried() {
    let house = fixture(MemorySink::default());
    let (many, held) = (Arc::new(AtomicUsize::new(1)), Mutex::new(Vec::new()));
    let counted = Arc::clone(&many);
    let script = server(&many, move |before, _| {
        if before < 3 {
            return fake_server::reply(503, "text/plain", "not now");
        }
        counted.store(2, Ordering::SeqCst);
        let (events, response) = fake_server::stream();
        held.lock().unwrap().push(events);
        response
    });
    let url = house.serve(script).await;
    house.want([target("s", &url)]);
    house.kept("s", |seen| seen.tools.len() == 1).await;
    house.kept("s", |seen| seen.tools.len() == 2).await;
}
