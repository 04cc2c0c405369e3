//! A process that runs out of file descriptors: idle connections make room, the private port answers, nothing spins, and
//! calls go on afterwards.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now, within};
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Descriptors of the process.
const DESCRIPTORS: usize = 256;
/// Idle connections that are opened, more than there are descriptors.
const CONNECTIONS: usize = 400;
/// Addresses that they come from.
const ADDRESSES: usize = 4;
/// Time of the observation.
const OBSERVED: Duration = Duration::from_secs(3);
/// Share of a processor that the process uses meanwhile, and time until calls go on; asserted by `make drill`.
const MAX_SHARE: f64 = 0.2;
const RECOVERY: Duration = Duration::from_secs(5);
/// Log lines about connections that cannot be accepted, of each listener and second: one for each pause.
const MAX_LINES: usize = 20;

/// Connections that send nothing, and are opened again when they are closed.
struct IdleConnections {
    _tasks: JoinSet<()>,
    opened: Arc<AtomicUsize>,
}

impl IdleConnections {
    fn start(to: SocketAddr, count: usize) -> Self {
        let (mut tasks, opened) = (JoinSet::new(), Arc::<AtomicUsize>::default());
        for number in 0..count {
            let last = u8::try_from(2 + number % ADDRESSES).unwrap_or(2);
            let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
            let opened = Arc::clone(&opened);
            tasks.spawn(async move {
                loop {
                    let _closed = hold(from, to, &opened).await;
                    sleep(Duration::from_millis(200)).await;
                }
            });
        }
        Self {
            _tasks: tasks,
            opened,
        }
    }

    async fn wait_for(&self, count: usize) -> Result<()> {
        eventually("connections are opened", HANG_GUARD, || async {
            let opened = self.opened.load(Ordering::Relaxed);
            ensure!(opened >= count, "{opened} of {count}");
            Ok(())
        })
        .await
    }
}

/// Opens a connection and reads until it is closed.
async fn hold(from: SocketAddr, to: SocketAddr, opened: &AtomicUsize) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let mut stream = socket.connect(to).await?;
    opened.fetch_add(1, Ordering::Relaxed);
    let _read = stream.read(&mut [0; 16]).await?;
    Ok(())
}

fn demo_agent(up: &ToolgateUp) -> Agent {
    let token = std::fs::read_to_string(up.data().join("demo-token")).unwrap_or_default();
    Agent::modern(&up.url("demo"), token.trim())
}

async fn call(agent: &Agent) -> Result<()> {
    agent
        .call("demo__echo", json!({"text": "hello"}))
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_before_descriptors_run_out_and_the_private_port_answers() {
    let sandbox = Sandbox::new("few-descriptors").unwrap();
    let mut up = ToolgateUp::start_with_descriptors(&sandbox, DESCRIPTORS)
        .await
        .unwrap();
    call(&demo_agent(&up)).await.unwrap();
    let idle = IdleConnections::start(up.mcp(), CONNECTIONS);
    idle.wait_for(2 * CONNECTIONS).await.unwrap();
    let (start, spent) = (now(), up.process().cpu_time().unwrap());
    while start.elapsed() < OBSERVED {
        // Each is a client with a new connection.
        call(&demo_agent(&up)).await.unwrap();
        let alive = TestHttpClient::default();
        let alive = alive
            .get(&format!("http://{}/livez", up.private()))
            .await
            .unwrap();
        assert_eq!(alive.status, 200);
        sleep(Duration::from_millis(200)).await;
    }
    let spent = up.process().cpu_time().unwrap().saturating_sub(spent);
    let share = spent.as_secs_f64() / start.elapsed().as_secs_f64();
    let used = up.process().descriptors().unwrap();
    println!("{used} descriptors, {share:.2} of a processor");
    assert!(used < DESCRIPTORS, "{used} descriptors");
    // Evicted connections are closed a moment later, so that a burst may meet the limit.
    let paused = up.process().stderr().matches("cannot be accepted").count();
    assert!(paused <= MAX_LINES, "{paused} attempts to accept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_descriptors_waits_without_spinning_and_goes_on() {
    let sandbox = Sandbox::new("no-descriptors").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let before = demo_agent(&up);
    call(&before).await.unwrap();
    let used = up.process().descriptors().unwrap();
    up.process().limit_descriptors(used).unwrap();
    let idle = IdleConnections::start(up.mcp(), CONNECTIONS / 4);
    idle.wait_for(CONNECTIONS / 4).await.unwrap();
    eventually("the listener is out of descriptors", HANG_GUARD, || {
        let told = up.process().stderr().contains("cannot be accepted");
        async move {
            ensure!(told, "no log line");
            Ok(())
        }
    })
    .await
    .unwrap();
    let lines = |up: &mut ToolgateUp| up.process().stderr().matches("cannot be accepted").count();
    let (start, spent, told) = (now(), up.process().cpu_time().unwrap(), lines(&mut up));
    sleep(OBSERVED).await;
    let spent = up.process().cpu_time().unwrap().saturating_sub(spent);
    let told = lines(&mut up) - told;
    let share = spent.as_secs_f64() / start.elapsed().as_secs_f64();
    println!("{told} attempts to accept, {share:.2} of a processor");
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    assert!(
        told <= MAX_LINES * seconds,
        "{told} attempts in {seconds} s"
    );
    assert!(
        !is_drill() || share <= MAX_SHARE,
        "{share:.2} of a processor"
    );
    // A connection that was there before is served.
    call(&before).await.unwrap();
    up.process().limit_descriptors(used + 1_024).unwrap();
    let after = demo_agent(&up);
    eventually("new connections are served", within(RECOVERY), || {
        call(&after)
    })
    .await
    .unwrap();
}
