//! Tests of free ports.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;

#[test]
fn a_free_port_can_be_bound_while_processes_are_started() {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let mut command = Command::new("true");
                assert!(command.status().unwrap().success());
            }
        });
        let taken: Vec<_> = (0..5_000)
            .map(|_| free().unwrap())
            .filter(|&address| TcpListener::bind(address).is_err())
            .collect();
        ended.store(true, Ordering::Relaxed);
        assert!(taken.is_empty(), "{taken:?}");
    });
}

#[test]
fn a_port_with_a_listener_is_not_free() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert!(!has_no_listener(listener.local_addr().unwrap()));
}
