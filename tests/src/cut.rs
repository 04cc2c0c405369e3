//! A TCP proxy that cuts connections at a chosen byte: for promises about what happens when the
//! line breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// No cut.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
struct Budget {
    /// Bytes that may still pass towards the server, and towards the client.
    up: AtomicU64,
    down: AtomicU64,
}

impl Budget {
    /// How much of `wanted` may pass; less means: cut after it.
    fn take(counter: &AtomicU64, wanted: usize) -> usize {
        let wanted_u64 = wanted as u64;
        let update = |left: u64| (left != NEVER).then(|| left.saturating_sub(wanted_u64));
        match counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update) {
            Ok(left) if left < wanted_u64 => usize::try_from(left).unwrap_or(wanted),
            Ok(_) | Err(_) => wanted,
        }
    }
}

/// The running proxy; it ends when dropped.
#[derive(Debug)]
pub struct Cutter {
    address: SocketAddr,
    budget: Arc<Budget>,
    _task: JoinSet<()>,
}

impl Cutter {
    /// Stands before `upstream` and cuts nothing yet.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let budget = Arc::new(Budget {
            up: AtomicU64::new(NEVER),
            down: AtomicU64::new(NEVER),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, upstream, Arc::clone(&budget)));
        Ok(Self {
            address,
            budget,
            _task: task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts whichever connection carries the byte after the next `bytes` towards the server.
    pub fn cut_request_after(&self, bytes: u64) {
        self.budget.up.store(bytes, Ordering::SeqCst);
    }

    /// Cuts whichever connection carries the byte after the next `bytes` towards the client.
    pub fn cut_answer_after(&self, bytes: u64) {
        self.budget.down.store(bytes, Ordering::SeqCst);
    }

    /// Cuts nothing any more.
    pub fn heal(&self) {
        self.budget.up.store(NEVER, Ordering::SeqCst);
        self.budget.down.store(NEVER, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, budget: Arc<Budget>) {
    let mut lines = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let budget = Arc::clone(&budget);
        lines.spawn(async move {
            // Cut lines are what this is for.
            drop(carry(client, upstream, &budget).await);
        });
        while lines.try_join_next().is_some() {}
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a broken line is made of real sockets"
)]
async fn carry(mut client: TcpStream, upstream: SocketAddr, budget: &Budget) -> Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let read = read?;
                let pass = Budget::take(&budget.up, read);
                server.write_all(up.get(..pass).unwrap_or_default()).await?;
                if read == 0 || pass < read {
                    return Ok(());
                }
            }
            read = server.read(&mut down) => {
                let read = read?;
                let pass = Budget::take(&budget.down, read);
                client.write_all(down.get(..pass).unwrap_or_default()).await?;
                if read == 0 || pass < read {
                    return Ok(());
                }
            }
        }
    }
}
