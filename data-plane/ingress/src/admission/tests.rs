//! Tests of the connection limits and of released permits.

use super::*;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

#[test]
fn one_address_cannot_take_all_seats() {
    let admission = Admission::new(10, 2);
    let _first = admission.admit(A).unwrap();
    let second = admission.admit(A).unwrap();
    assert!(admission.admit(A).is_none());
    assert!(admission.admit(B).is_some());
    drop(second);
    assert!(admission.admit(A).is_some());
}

#[test]
fn an_address_written_as_ipv6_counts_as_the_same() {
    let admission = Admission::new(10, 1);
    let _held = admission.admit(A).unwrap();
    let mapped = IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    assert!(admission.admit(mapped).is_none());
}

#[test]
fn the_total_is_bounded_and_nothing_is_remembered_of_those_gone() {
    let admission = Admission::new(1, 5);
    let held = admission.admit(A).unwrap();
    assert!(admission.admit(B).is_none());
    drop(held);
    assert!(admission.addresses.lock().unwrap().is_empty());
    assert!(admission.admit(B).is_some());
}
