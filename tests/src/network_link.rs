//! A network link to one listener: a TCP relay that can stop passing bytes, for all connections or for the connections of one
//! process, without closing them. To both ends it is a network that drops packets; later the link passes bytes again.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http_client;

/// Connections that pass no bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkCut {
    /// None of them.
    #[default]
    Nothing,
    /// All of them.
    All,
    /// Connections of the process with this id.
    OfProcess(u32),
}

impl LinkCut {
    /// True if a connection over this socket of its client passes no bytes.
    fn applies_to(self, socket: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::OfProcess(id) => is_socket_of(id, socket),
        }
    }
}

/// Running link. It ends when dropped.
#[derive(Debug)]
pub struct NetworkLink {
    address: SocketAddr,
    cut: watch::Sender<LinkCut>,
    _task: JoinSet<()>,
}

impl NetworkLink {
    /// Starts a link to `target` on a free port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (cut, receiver) = watch::channel(LinkCut::Nothing);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, target, receiver));
        Ok(Self {
            address,
            cut,
            _task: task,
        })
    }

    /// Address that clients connect to instead of the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Selects the connections that pass no bytes from now on, new ones included.
    pub fn cut(&self, cut: LinkCut) {
        self.cut.send_replace(cut);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, cut: watch::Receiver<LinkCut>) {
    let mut lines = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let cut = cut.clone();
        lines.spawn(async move {
            // A connection ends with an error if one of its ends is killed.
            drop(forward(client, target, cut).await);
        });
        while lines.try_join_next().is_some() {}
    }
}

async fn forward(
    client: TcpStream,
    target: SocketAddr,
    mut cut: watch::Receiver<LinkCut>,
) -> Result<()> {
    let socket = client_socket(&client).unwrap_or_default();
    loop {
        let is_cut = cut.borrow_and_update().applies_to(&socket);
        if !is_cut {
            break;
        }
        cut.changed().await?;
    }
    let server = http_client::socket(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = pass(from_client, to_server, &socket, cut.clone()) => ended,
        ended = pass(from_server, to_client, &socket, cut) => ended,
    }
}

/// Passes bytes in one direction. While the connection is cut, nothing is read.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    socket: &str,
    mut cut: watch::Receiver<LinkCut>,
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut is_cut = cut.borrow_and_update().applies_to(socket);
    loop {
        let read = tokio::select! {
            biased;
            changed = cut.changed() => {
                changed?;
                is_cut = cut.borrow_and_update().applies_to(socket);
                continue;
            }
            read = from.read(&mut buffer), if !is_cut => read?,
        };
        if read == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}

/// Number of the socket at the client's end of a connection on this machine.
fn client_socket(accepted: &TcpStream) -> Result<String> {
    let (client, own) = (accepted.peer_addr()?.port(), accepted.local_addr()?.port());
    let (client, own) = (format!(":{client:04X}"), format!(":{own:04X}"));
    let table = fs::read_to_string("/proc/self/net/tcp")?;
    for row in table.lines().skip(1) {
        let fields: Vec<&str> = row.split_ascii_whitespace().collect();
        if let [_, local, remote, _, _, _, _, _, _, socket, ..] = fields[..]
            && local.ends_with(&client)
            && remote.ends_with(&own)
        {
            return Ok(socket.to_owned());
        }
    }
    bail!("no socket of port {client}")
}

/// True if a process has this socket open.
fn is_socket_of(process: u32, socket: &str) -> bool {
    let link = format!("socket:[{socket}]");
    let has_socket = || {
        for file in fs::read_dir(format!("/proc/{process}/fd")).context("descriptors")? {
            // A descriptor may be closed meanwhile.
            if fs::read_link(file?.path()).is_ok_and(|it| it.as_os_str() == link.as_str()) {
                return Ok(true);
            }
        }
        anyhow::Ok(false)
    };
    has_socket().unwrap_or(false)
}
