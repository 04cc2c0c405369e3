//! Tests of the connection limits and of released permits.

use std::time::Duration;

use super::*;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn limiter(connections: usize, connections_per_address: usize) -> Arc<ConnectionLimiter> {
    ConnectionLimiter::new(&ConnectionLimits {
        connections,
        connections_per_address,
        eviction_age: Duration::ZERO,
        ..ConnectionLimits::default()
    })
}

/// Returns a connection that is busy with a request.
fn busy(
    limiter: &Arc<ConnectionLimiter>,
    address: IpAddr,
) -> Option<(ConnectionPermit, SeatGuard)> {
    let permit = limiter.admit(address)?;
    let guard = permit.seat().hold()?;
    Some((permit, guard))
}

#[test]
fn one_address_cannot_take_all_connection_slots() {
    let limiter = limiter(10, 2);
    let _first = busy(&limiter, A).unwrap();
    let second = busy(&limiter, A).unwrap();
    assert!(limiter.admit(A).is_none());
    assert!(limiter.admit(B).is_some());
    drop(second);
    assert!(limiter.admit(A).is_some());
}

#[test]
fn an_ipv4_mapped_address_counts_as_the_same_address() {
    let limiter = limiter(10, 1);
    let _held = busy(&limiter, A).unwrap();
    let mapped = IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    assert!(limiter.admit(mapped).is_none());
}

#[test]
fn the_total_is_bounded_and_closed_connections_leave_no_entry() {
    let limiter = limiter(1, 5);
    let held = busy(&limiter, A).unwrap();
    assert!(limiter.admit(B).is_none());
    drop(held);
    assert!(limiter.admitted().table.is_empty() && limiter.admitted().seats.is_empty());
    assert!(limiter.admit(B).is_some());
}

#[tokio::test]
async fn an_idle_connection_makes_room_and_starts_nothing_any_more() {
    let limiter = limiter(10, 1);
    let idle = limiter.admit(A).unwrap();
    let (drain, _trigger) = crate::drain::new();
    let task = drain.spawn_unguarded(std::future::pending::<()>());
    idle.seat().set_task(task.abort_handle());
    drop(idle.seat().hold().unwrap());
    let _newer = limiter.admit(A).unwrap();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(idle.seat().hold().is_none());
    assert!(!idle.identify(BudgetOwner::of(&1)));
    drop(idle);
    assert_eq!(limiter.open(), 1);
}
