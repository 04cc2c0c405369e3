//! Tests of addresses and limits.

use clap::Parser as _;

use super::{
    PeerListenerOptions, advertised_url, check_scheme, control_plane_address, mebibytes,
    peer_listener, read_join_bundle, request_limits,
};
use crate::{
    cli::{Cli, CliCommand},
    role::{RoleCommand, options::ClientListenerOptions},
};

fn listener_options(flags: &[&str]) -> ClientListenerOptions {
    let start = ["toolgate", "proxy", "--control-plane", "https://a"];
    let cli = Cli::try_parse_from(start.iter().chain(flags)).unwrap();
    match cli.command {
        CliCommand::Role(RoleCommand::Proxy(options)) => options.listener,
        other @ (CliCommand::Role(_) | CliCommand::Client(_)) => panic!("{other:?}"),
    }
}

fn peers_of(flags: &[&str]) -> anyhow::Result<Option<PeerListenerOptions>> {
    let start = ["toolgate", "proxy", "--control-plane", "https://a"];
    let cli = Cli::try_parse_from(start.iter().chain(flags)).unwrap();
    match cli.command {
        CliCommand::Role(RoleCommand::Proxy(options)) => peer_listener(&options),
        other @ (CliCommand::Role(_) | CliCommand::Client(_)) => panic!("{other:?}"),
    }
}

#[test]
fn peers_need_a_reachable_address() {
    assert!(peers_of(&[]).unwrap().is_none());
    let listen = "--peer-listen";
    assert!(peers_of(&[listen, "10.0.0.1:7402"]).unwrap().is_some());
    let error = peers_of(&[listen, "0.0.0.0:7402"]).unwrap_err();
    assert!(error.to_string().contains("--peer-address"), "{error}");
    let address = "--peer-address";
    let named = peers_of(&[listen, "0.0.0.0:7402", address, "proxy-1:7402"]);
    assert_eq!(named.unwrap().unwrap().address.unwrap(), "proxy-1:7402");
    for bad in ["proxy-1", ":7402", "proxy-1:0", "proxy-1:x"] {
        assert!(peers_of(&[listen, "0.0.0.0:7402", address, bad]).is_err());
    }
    let former = [
        "--neighbour-listen",
        "0.0.0.0:7402",
        "--neighbour-address",
        "proxy-1:7402",
    ];
    let named = peers_of(&former).unwrap().unwrap();
    assert_eq!(named.address.unwrap(), "proxy-1:7402");
}

#[test]
fn caller_quotas_are_configurable() {
    let usual = request_limits(&listener_options(&[]).limits);
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
    assert_eq!(
        mebibytes(listener_options(&[]).limits.body_memory),
        256 << 20
    );
    let configured = request_limits(&listener_options(&flags).limits);
    assert_eq!(
        (configured.requests, configured.requests_per_token),
        (10, 5)
    );
    assert_eq!(
        (configured.rate_per_token, configured.burst_per_token),
        (Some(3), 2)
    );
}

#[test]
fn a_proxy_announces_the_public_name_of_its_endpoint() {
    assert_eq!(
        advertised_url(&listener_options(&[])),
        "http://127.0.0.1:7300"
    );
    let public = listener_options(&[
        "--listen",
        "0.0.0.0:443",
        "--public-host",
        "mcp.example.com",
    ]);
    assert_eq!(advertised_url(&public), "http://mcp.example.com:443");
    let tls = [
        "--tls-cert",
        "c",
        "--tls-key",
        "k",
        "--public-host",
        "mcp.example.com:8443",
    ];
    assert_eq!(
        advertised_url(&listener_options(&tls)),
        "https://mcp.example.com:8443"
    );
}

#[test]
fn a_control_plane_address_has_a_default_port() {
    let cases = [
        ("https://cp.example", "cp.example:7410"),
        ("https://10.0.0.1:9", "10.0.0.1:9"),
        ("https://[::1]:9", "[::1]:9"),
    ];
    for (url, expected) in cases {
        assert_eq!(
            control_plane_address(&url.parse().unwrap()).unwrap(),
            expected
        );
    }
}

#[test]
fn the_scheme_of_a_control_plane_agrees_with_the_flag_for_clear_text() {
    let check = |url: &str, insecure| {
        let checked = check_scheme(&url.parse().unwrap(), insecure);
        checked.map_err(|error| error.to_string())
    };
    assert_eq!(check("https://cp.example", false), Ok(()));
    assert_eq!(check("http://cp.example", true), Ok(()));
    for (url, insecure) in [("http://cp.example", false), ("https://cp.example", true)] {
        let told = check(url, insecure).unwrap_err();
        assert!(
            told.contains(url) && told.contains("--insecure-push"),
            "{told}"
        );
    }
    assert!(check("cp.example:7410", false).is_err());
}

#[test]
fn a_join_file_may_be_missing_but_not_invalid() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        read_join_bundle(&folder.path().join("gone.json"))
            .unwrap()
            .is_none()
    );
    let wrong = folder.path().join("wrong.json");
    std::fs::write(&wrong, "{}").unwrap();
    let error = format!("{:#}", read_join_bundle(&wrong).unwrap_err());
    assert!(
        error.contains("wrong.json") && error.contains("join-token"),
        "{error}"
    );
}
