//! A process listens at the addresses that it is given, and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use toolgate_tests::agent::Agent;
use toolgate_tests::private_network;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// State of a listening socket in the tables of the kernel.
const LISTENING: &str = "0A";

/// Reads an IPv4 socket address of the kernel's tables: the bytes of the address in reverse, and the port.
fn read_address(text: &str) -> Result<SocketAddr> {
    let (address, port) = text.split_once(':').context("no port")?;
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16)?.swap_bytes());
    let port = u16::from_str_radix(port, 16)?;
    Ok(SocketAddr::new(IpAddr::V4(address), port))
}

/// Addresses at which any process of this network listens with TCP, or has a UDP socket.
fn open_ports() -> Result<BTreeSet<SocketAddr>> {
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        if table.ends_with('6') && !private_network::has_ipv6() {
            continue;
        }
        let text = fs::read_to_string(format!("/proc/net/{table}"))?;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, state) = (fields[1], fields[3]);
            if table.starts_with("tcp") && state != LISTENING {
                continue;
            }
            anyhow::ensure!(!table.ends_with('6'), "an IPv6 socket: {line}");
            found.insert(read_address(address)?);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn se_13_a_process_listens_at_its_declared_addresses_only() {
    if !private_network::is_inside() {
        let test = "se_13_a_process_listens_at_its_declared_addresses_only";
        return private_network::run(test).await.unwrap();
    }
    assert_eq!(open_ports().unwrap(), BTreeSet::new());
    let sandbox = Sandbox::new("ports").unwrap();
    let up = ToolgateUp::start(&sandbox, &["--no-demo"]).await.unwrap();
    let cli = up.cli().unwrap();
    // A server that nothing listens for, a gateway and a token: none of them opens a port.
    let url = "http://127.0.0.1:9/mcp";
    cli.run(&["server", "add", "none", "--url", url])
        .await
        .unwrap();
    cli.run(&["gateway", "create", "none", "--server", "none"])
        .await
        .unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let agent = Agent::modern(&up.url("none"), &token);
    toolgate_tests::clock::eventually(
        "the token is accepted",
        toolgate_tests::clock::HANG_GUARD,
        || agent.tools(),
    )
    .await
    .unwrap();
    let declared = BTreeSet::from([up.mcp(), up.admin(), up.private()]);
    assert_eq!(open_ports().unwrap(), declared);
}
