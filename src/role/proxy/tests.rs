//! Tests of addresses and limits.

use clap::Parser as _;

use super::{NeighbourDoor, address, bundle, limits, mebibytes, neighbours, shown};
use crate::{
    cli::{Cli, Command},
    role::{RoleCommand, options::DoorSettings},
};

fn door(flags: &[&str]) -> DoorSettings {
    let start = ["toolgate", "proxy", "--control-plane", "https://a"];
    let cli = Cli::try_parse_from(start.iter().chain(flags)).unwrap();
    match cli.command {
        Command::Role(RoleCommand::Proxy(options)) => options.door,
        other @ (Command::Role(_) | Command::Ask(_)) => panic!("{other:?}"),
    }
}

fn neighbours_of(flags: &[&str]) -> anyhow::Result<Option<NeighbourDoor>> {
    let start = ["toolgate", "proxy", "--control-plane", "https://a"];
    let cli = Cli::try_parse_from(start.iter().chain(flags)).unwrap();
    match cli.command {
        Command::Role(RoleCommand::Proxy(options)) => neighbours(&options),
        other @ (Command::Role(_) | Command::Ask(_)) => panic!("{other:?}"),
    }
}

#[test]
fn neighbours_need_an_address_that_leads_here() {
    assert!(neighbours_of(&[]).unwrap().is_none());
    let listen = "--neighbour-listen";
    assert!(neighbours_of(&[listen, "10.0.0.1:7402"]).unwrap().is_some());
    let error = neighbours_of(&[listen, "0.0.0.0:7402"]).unwrap_err();
    assert!(error.to_string().contains("--neighbour-address"), "{error}");
    let address = "--neighbour-address";
    let told = neighbours_of(&[listen, "0.0.0.0:7402", address, "proxy-1:7402"]);
    assert_eq!(told.unwrap().unwrap().address.unwrap(), "proxy-1:7402");
    for bad in ["proxy-1", ":7402", "proxy-1:0", "proxy-1:x"] {
        assert!(neighbours_of(&[listen, "0.0.0.0:7402", address, bad]).is_err());
    }
}

#[test]
fn what_callers_may_take_is_a_setting() {
    let usual = limits(&door(&[]).limits);
    assert_eq!((usual.requests, usual.rate_per_token), (16_384, None));
    let flags = [
        "--max-requests",
        "10",
        "--max-requests-per-token",
        "5",
        "--rate-per-token",
        "3",
        "--burst-per-token",
        "2",
    ];
    assert_eq!(mebibytes(door(&[]).limits.body_memory), 256 << 20);
    let said = limits(&door(&flags).limits);
    assert_eq!((said.requests, said.requests_per_token), (10, 5));
    assert_eq!((said.rate_per_token, said.burst_per_token), (Some(3), 2));
}

#[test]
fn a_proxy_is_shown_under_the_name_that_clients_use() {
    assert_eq!(shown(&door(&[])), "http://127.0.0.1:7300");
    let public = door(&[
        "--listen",
        "0.0.0.0:443",
        "--public-host",
        "mcp.example.com",
    ]);
    assert_eq!(shown(&public), "http://mcp.example.com:443");
    let tls = [
        "--tls-cert",
        "c",
        "--tls-key",
        "k",
        "--public-host",
        "mcp.example.com:8443",
    ];
    assert_eq!(shown(&door(&tls)), "https://mcp.example.com:8443");
}

#[test]
fn a_control_plane_has_a_port_of_its_own_unless_told() {
    let cases = [
        ("https://cp.example", "cp.example:7410"),
        ("https://10.0.0.1:9", "10.0.0.1:9"),
        ("https://[::1]:9", "[::1]:9"),
    ];
    for (url, expected) in cases {
        assert_eq!(address(&url.parse().unwrap()).unwrap(), expected);
    }
}

#[test]
fn a_join_file_may_be_gone_but_not_wrong() {
    let folder = tempfile::tempdir().unwrap();
    assert!(bundle(&folder.path().join("gone.json")).unwrap().is_none());
    let wrong = folder.path().join("wrong.json");
    std::fs::write(&wrong, "{}").unwrap();
    let error = format!("{:#}", bundle(&wrong).unwrap_err());
    assert!(
        error.contains("wrong.json") && error.contains("join-token"),
        "{error}"
    );
}
