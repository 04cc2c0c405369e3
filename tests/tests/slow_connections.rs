//! Connections that send nothing, half a head or half a body: they are closed and opened again, and other clients are
//! served meanwhile.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Connections that are open at a time.
const CONNECTIONS: usize = 2_000;
/// Addresses that they come from, so that no share of one address limits them.
const ADDRESSES: usize = 40;
/// Pause before a connection that was closed is opened again.
const PAUSE: Duration = Duration::from_millis(500);
/// Calls whose median time is compared.
const CALLS: usize = 200;
/// Largest ratio of the median times with and without the connections; asserted by `make drill`.
const MAX_RATIO: f64 = 1.25;

/// Connections that one address opens in a second of a drill.
const DRILL_RATE: u32 = 5_000;
/// Clients that connect meanwhile, and the time in which they get an answer; asserted by `make drill`.
const CLIENTS: usize = 100;
const MAX_DELAY: Duration = Duration::from_millis(200);

/// Connections that are kept open until this is dropped.
struct SlowConnections {
    _tasks: JoinSet<()>,
    opened: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl SlowConnections {
    /// Opens the connections, each with one of these beginnings of a request.
    fn start(address: SocketAddr, beginnings: &[Vec<u8>]) -> Self {
        let (opened, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for (number, beginning) in (0..CONNECTIONS).zip(beginnings.iter().cycle()) {
            let (opened, open, beginning) =
                (Arc::clone(&opened), Arc::clone(&open), beginning.clone());
            let last = u8::try_from(2 + number % ADDRESSES).unwrap_or(2);
            let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
            tasks.spawn(async move {
                loop {
                    let _closed = hold(from, address, &beginning, &opened, &open).await;
                    sleep(PAUSE).await;
                }
            });
        }
        Self {
            _tasks: tasks,
            opened,
            open,
        }
    }

    /// Waits until most connections are open.
    async fn wait_until_open(&self) -> Result<()> {
        eventually("the connections are open", HANG_GUARD, || async {
            let open = self.open.load(Ordering::Relaxed);
            ensure!(open >= CONNECTIONS * 9 / 10, "{open} are open");
            Ok(())
        })
        .await
    }
}

/// Sends the beginning of a request, and reads until the listener closes the connection.
async fn hold(
    from: SocketAddr,
    to: SocketAddr,
    beginning: &[u8],
    opened: &AtomicUsize,
    open: &AtomicUsize,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(beginning).await?;
    opened.fetch_add(1, Ordering::Relaxed);
    open.fetch_add(1, Ordering::Relaxed);
    let mut buffer = [0; 1_024];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    open.fetch_sub(1, Ordering::Relaxed);
    Ok(())
}

/// Median time of calls, one after the other.
async fn median_call(agent: &Agent) -> Result<Duration> {
    let arguments = json!({"text": "hello"});
    agent.median_call("demo__echo", &arguments, CALLS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_slow_connections_are_closed_and_do_not_keep_others_from_being_served() {
    let sandbox = Sandbox::new("slow").unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = std::fs::read_to_string(up.data().join("demo-token")).unwrap();
    let agent = Agent::modern(&up.url("demo"), token.trim());
    let alone = median_call(&agent).await.unwrap();
    let head = format!(
        "POST /v1/mcp/demo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n",
        token.trim()
    );
    let half_body = format!("{head}Content-Length: 1000\r\n\r\n{{");
    let beginnings = [Vec::new(), head.into_bytes(), half_body.into_bytes()];
    let slow = SlowConnections::start(up.mcp(), &beginnings);
    slow.wait_until_open().await.unwrap();
    let beside = median_call(&agent).await.unwrap();
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!(
        "median of a call: {alone:?} alone, {beside:?} beside {CONNECTIONS} connections ({ratio:.2})"
    );
    assert!(!is_drill() || ratio < MAX_RATIO, "{ratio:.2}");
    // All are closed after some time, those without a byte of a head first.
    eventually("the connections are closed", HANG_GUARD, || async {
        let opened = slow.opened.load(Ordering::Relaxed);
        ensure!(opened >= 2 * CONNECTIONS, "{opened} were opened");
        Ok(())
    })
    .await
    .unwrap();
    agent
        .call("demo__echo", json!({"text": "still served"}))
        .await
        .unwrap();
}

/// Opens connections from one address at this rate and leaves them open, until the returned tasks are dropped.
fn open_at_rate(to: SocketAddr, opened: Arc<AtomicUsize>) -> JoinSet<()> {
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    // The flood shares the processors with the clients: beside more, a busy machine lets a client wait for its turn until
    // its own connection ends without a request.
    let rate = if is_drill() {
        DRILL_RATE
    } else {
        DRILL_RATE / 5
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        let mut ticks = interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            for _ in 0..rate / 100 {
                let opened = Arc::clone(&opened);
                connections.spawn(async move {
                    let open = AtomicUsize::new(0);
                    let _closed = hold(from, to, &[], &opened, &open).await;
                });
            }
            while connections.try_join_next().is_some() {}
        }
    });
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn others_connect_while_one_address_opens_connections_without_end() {
    let sandbox = Sandbox::new("one-address").unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = std::fs::read_to_string(up.data().join("demo-token")).unwrap();
    let url = up.url("demo");
    let opened = Arc::<AtomicUsize>::default();
    let flood = open_at_rate(up.mcp(), Arc::clone(&opened));
    let mut times = Vec::new();
    for number in 0..CLIENTS {
        let start = now();
        // A client with a connection of its own.
        let agent = Agent::modern(&url, token.trim());
        let called = agent.call("demo__echo", json!({"text": "hello"})).await;
        called.unwrap_or_else(|error| panic!("client {number}: {error:#}"));
        times.push(start.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    drop(flood);
    times.sort();
    let (slowest, opened) = (times[CLIENTS * 99 / 100], opened.load(Ordering::Relaxed));
    println!("p99 of an answer to a new client: {slowest:?}, beside {opened} connections");
    assert!(opened > CLIENTS, "no flood: {opened}");
    assert!(!is_drill() || slowest <= MAX_DELAY, "{slowest:?}");
}
