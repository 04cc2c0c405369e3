//! Free ports on loopback; one test program never gets the same port twice.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};
use tokio::net::TcpSocket;

/// Below the range of ephemeral ports.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Returns a loopback address without a listener.
pub fn free() -> Result<SocketAddr> {
    let offset = std::process::id().wrapping_mul(131);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + offset.wrapping_add(step) % COUNT)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if has_no_listener(address) {
            return Ok(address);
        }
    }
    bail!("no free port on loopback")
}

/// Binds a socket that does not listen. A process that another thread starts at this moment holds a copy of the socket
/// until its `exec`; a copy of a listening socket would refuse the port to the caller meanwhile.
fn has_no_listener(address: SocketAddr) -> bool {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    };
    bind().is_ok()
}

#[cfg(test)]
mod tests;
