//! A TCP proxy that cuts connections at a chosen byte, to test broken connections. Long-lived streams pass through it
//! uncounted and uncut: only bytes of requests and responses are counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutDirection {
    /// Requests.
    Server,
    /// Responses.
    Client,
}

/// Position and kind of a cut.
#[derive(Clone, Copy, Debug)]
pub struct CutPoint {
    /// Direction that is cut.
    pub towards: CutDirection,
    /// Number of bytes before the cut, summed over all connections.
    pub at: u64,
    /// If set, nothing passes in this direction until [`CuttingProxy::heal`]; otherwise the next connection works.
    pub until_healed: bool,
    /// Cut with a TCP reset instead of a FIN.
    pub reset: bool,
}

#[derive(Debug, Default)]
struct CutState {
    cut: Option<CutPoint>,
    /// Bytes since the cut was armed: towards the server, and towards the client.
    passed: (u64, u64),
    /// Session id of the last request that had one.
    session: Option<String>,
}

#[derive(Debug)]
struct CuttingProxyState {
    plan: Mutex<CutState>,
    cuts: AtomicU64,
    /// Incremented to cut all connections immediately.
    now: watch::Sender<u64>,
}

/// Decision about received bytes.
struct CutDecision {
    pass: usize,
    /// Cut after the passed bytes; `true` for a reset.
    cut: Option<bool>,
}

impl CuttingProxyState {
    fn plan(&self) -> MutexGuard<'_, CutState> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, towards: CutDirection, came: usize) -> CutDecision {
        let mut plan = self.plan();
        let passed = match towards {
            CutDirection::Server => &mut plan.passed.0,
            CutDirection::Client => &mut plan.passed.1,
        };
        let before = *passed;
        *passed += came as u64;
        let cut = plan.cut.filter(|cut| cut.towards == towards);
        match cut.map(|cut| (cut, cut.at.saturating_sub(before))) {
            Some((cut, left)) if left < came as u64 => {
                if !cut.until_healed {
                    plan.cut = None;
                }
                self.cuts.fetch_add(1, Ordering::SeqCst);
                CutDecision {
                    pass: usize::try_from(left).unwrap_or(came),
                    cut: Some(cut.reset),
                }
            }
            Some(_) | None => CutDecision {
                pass: came,
                cut: None,
            },
        }
    }

    fn record_session(&self, request: &str) {
        if let Some((_, after)) = request.split_once("mcp-session-id: ")
            && let Some((session, _)) = after.split_once("\r\n")
        {
            self.plan().session = Some(session.to_owned());
        }
    }
}

/// Running proxy; it ends when dropped.
#[derive(Debug)]
pub struct CuttingProxy {
    address: SocketAddr,
    shared: Arc<CuttingProxyState>,
    _task: JoinSet<()>,
}

impl CuttingProxy {
    /// Starts in front of `upstream` without a cut.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(CuttingProxyState {
            plan: Mutex::default(),
            cuts: AtomicU64::new(0),
            now: watch::Sender::new(0),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, upstream, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            _task: task,
        })
    }

    /// Listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Arms a cut of the connection that carries the byte at `cut.at`.
    pub fn arm(&self, cut: CutPoint) {
        let mut plan = self.shared.plan();
        plan.cut = Some(cut);
        plan.passed = (0, 0);
    }

    /// Cuts all current connections.
    pub fn cut_now(&self) {
        self.shared.now.send_modify(|times| *times += 1);
    }

    /// Disarms the cut and resets the byte counts.
    pub fn heal(&self) {
        let mut plan = self.shared.plan();
        plan.cut = None;
        plan.passed = (0, 0);
    }

    /// Number of cut connections.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Bytes since the last [`arm`](Self::arm) or [`heal`](Self::heal): towards the server, and towards the client.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        self.shared.plan().passed
    }

    /// Session id of the last request that had one.
    #[must_use]
    pub fn session(&self) -> Option<String> {
        self.shared.plan().session.clone()
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, shared: Arc<CuttingProxyState>) {
    let mut lines = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        lines.spawn(async move {
            // Errors of cut connections are expected.
            drop(forward(client, upstream, &shared).await);
        });
        while lines.try_join_next().is_some() {}
    }
}

/// Reports if `request` opens a long-lived stream; a resumption does not count as one. Returns `None` if no request
/// begins here.
fn is_long_lived_stream(request: &str) -> Option<bool> {
    let posts = request.starts_with("POST ");
    let begins = posts || request.starts_with("GET ");
    let takes_up = request.contains("last-event-id: ");
    begins.then(|| !takes_up && (!posts || request.contains("subscriptions/listen")))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a broken line is made of real sockets"
)]
async fn forward(
    mut client: TcpStream,
    upstream: SocketAddr,
    shared: &CuttingProxyState,
) -> Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut now = shared.now.subscribe();
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let mut listening = false;
    loop {
        let (read, towards) = tokio::select! {
            biased;
            _ = now.changed() => {
                // A stream passes uncut, and so do the requests that its connection carries afterwards.
                if listening {
                    continue;
                }
                shared.cuts.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            read = client.read(&mut up) => (read?, CutDirection::Server),
            read = server.read(&mut down) => (read?, CutDirection::Client),
        };
        let bytes = match towards {
            CutDirection::Server => up.get(..read).unwrap_or_default(),
            CutDirection::Client => down.get(..read).unwrap_or_default(),
        };
        if towards == CutDirection::Server {
            let request = String::from_utf8_lossy(bytes);
            listening = is_long_lived_stream(&request).unwrap_or(listening);
            if !listening {
                shared.record_session(&request);
            }
        }
        let whole = CutDecision {
            pass: read,
            cut: None,
        };
        let verdict = if listening {
            whole
        } else {
            shared.decide(towards, read)
        };
        let passing = bytes.get(..verdict.pass).unwrap_or_default();
        match towards {
            CutDirection::Server => server.write_all(passing).await?,
            CutDirection::Client => client.write_all(passing).await?,
        }
        if let Some(hard) = verdict.cut {
            if hard {
                client.set_zero_linger()?;
                server.set_zero_linger()?;
            }
            return Ok(());
        }
        if read == 0 {
            return Ok(());
        }
    }
}
