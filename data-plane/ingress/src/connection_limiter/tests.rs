//! Tests of the connection limits and of released permits.

use super::*;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

#[test]
fn one_address_cannot_take_all_connection_slots() {
    let limiter = ConnectionLimiter::new(10, 2);
    let _first = limiter.admit(A).unwrap();
    let second = limiter.admit(A).unwrap();
    assert!(limiter.admit(A).is_none());
    assert!(limiter.admit(B).is_some());
    drop(second);
    assert!(limiter.admit(A).is_some());
}

#[test]
fn an_ipv4_mapped_address_counts_as_the_same_address() {
    let limiter = ConnectionLimiter::new(10, 1);
    let _held = limiter.admit(A).unwrap();
    let mapped = IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    assert!(limiter.admit(mapped).is_none());
}

#[test]
fn the_total_is_bounded_and_closed_connections_leave_no_entry() {
    let limiter = ConnectionLimiter::new(1, 5);
    let held = limiter.admit(A).unwrap();
    assert!(limiter.admit(B).is_none());
    drop(held);
    assert!(limiter.addresses.lock().unwrap().is_empty());
    assert!(limiter.admit(B).is_some());
}
