//! The four limits of the time of a call: connecting, first byte, pause, and the whole call. Calls to other servers go on
//! meanwhile.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use toolgate_model::{CallTimeouts, Era};

use crate::rig::{HANG_GUARD, TestRig, eventually, exposed, is_drill};

/// The limit that a call exceeds. All others are far above it.
const LIMIT: Duration = Duration::from_secs(2);

/// Limit of connecting in the other cases. It adds to the limit of the first byte.
const CONNECT: Duration = Duration::from_millis(500);

/// Limits that no call of these tests exceeds.
const LONG: CallTimeouts = CallTimeouts {
    connect: CONNECT,
    first_byte: HANG_GUARD,
    idle: HANG_GUARD,
    total: Duration::from_secs(300),
};

/// Time of a call relative to its limit, asserted by `make drill`.
const TOLERANCE: f64 = 0.1;

/// Calls that wait for a server that does not answer, while others are made.
const STALLED: usize = 50;

/// Calls whose median time is compared.
const CALLS: usize = 100;

/// Listener with a full queue: the kernel completes no further connection.
struct FullListener {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl FullListener {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
        }
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// Calls a tool that exceeds a limit. Returns the time until the error.
async fn exceed(rig: &TestRig, tool: &str) -> Duration {
    let start = Instant::now();
    let called = rig.client().call(Era::Modern, json!(1), tool, "x").await;
    let last = called.last().await;
    let took = start.elapsed();
    assert_eq!(last["result"]["isError"], true, "{tool}: {last}");
    took
}

#[tokio::test]
async fn each_limit_of_a_call_ends_it_when_it_is_over_and_progress_resets_only_the_pause() {
    let rig = TestRig::with(|_| {}, LONG).await;
    let full = FullListener::start().await;
    rig.edit_server("gone", |server| {
        server.endpoints = format!("http://{}/mcp", full.address).parse().unwrap();
    });
    // Each with the time that is added to the limit: a call that could not be sent is sent once more, and the time for the
    // first byte begins after that for connecting.
    let connect = CallTimeouts {
        connect: LIMIT,
        ..LONG
    };
    let first_byte = CallTimeouts {
        first_byte: LIMIT,
        ..LONG
    };
    let idle = CallTimeouts {
        idle: LIMIT,
        ..LONG
    };
    // The server tells of its progress twenty times a second, without end: no pause is long.
    let total = CallTimeouts {
        idle: LIMIT / 2,
        total: LIMIT,
        ..LONG
    };
    let cases = [
        ("gone", "gone__echo", connect, LIMIT),
        ("new", "new__silent", first_byte, CONNECT),
        ("new", "new__slow", idle, Duration::ZERO),
        ("new", "new__tick", total, Duration::ZERO),
        ("old", "old__tick", total, Duration::ZERO),
    ];
    for (server, tool, timeouts, added) in cases {
        rig.edit_server(server, |server| server.timeouts = timeouts);
        let took = exceed(&rig, tool).await;
        println!("{tool}: {took:?} at a limit of {LIMIT:?} and {added:?}");
        assert!(took >= LIMIT, "{tool} ended too early: {took:?}");
        let most = (LIMIT + added).mul_f64(1.0 + TOLERANCE);
        assert!(!is_drill() || took <= most, "{tool}: {took:?}");
    }
    eventually("the server sees all closed", || {
        rig.modern.seen.lock().unwrap().dropped == 3
    })
    .await;
}

/// Median time of calls to the other server, one after the other.
async fn median_call(rig: &TestRig) -> Duration {
    let client = rig.client();
    let tool = exposed(Era::Legacy, "echo");
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let start = Instant::now();
        let called = client.call(Era::Modern, json!(1), &tool, "well").await;
        let frame = called.whole().await.json();
        times.push(start.elapsed());
        assert_eq!(frame["result"]["content"][0]["text"], "well", "{frame}");
    }
    times.sort();
    times[CALLS / 2]
}

#[tokio::test]
async fn calls_to_other_servers_go_on_while_one_accepts_calls_and_does_not_answer() {
    let rig = TestRig::with(|_| {}, LONG).await;
    median_call(&rig).await;
    let alone = median_call(&rig).await;
    let mut stalled = JoinSet::new();
    for _ in 0..STALLED {
        let client = rig.client();
        let tool = exposed(Era::Modern, "silent");
        stalled.spawn(async move { client.call(Era::Modern, json!(1), &tool, "x").await });
    }
    eventually("they wait", || rig.modern.calls("silent") == STALLED).await;
    let beside = median_call(&rig).await;
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!("median: {alone:?} alone, {beside:?} beside {STALLED} stalled calls ({ratio:.2})");
    assert!(!is_drill() || ratio <= 1.0 + TOLERANCE, "{ratio:.2}");
    assert_eq!(stalled.len(), STALLED);
    assert!(stalled.try_join_next().is_none(), "they still wait");
}
