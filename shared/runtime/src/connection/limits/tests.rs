//! Tests of the limits of a process with few descriptors.

use super::*;

#[test]
fn connections_use_at_most_half_of_the_descriptors_and_the_reserved_part_stays_one() {
    let limits = ConnectionLimits {
        connections: 4_096,
        reserved_connections: 2_048,
        ..ConnectionLimits::default()
    };
    let of = |descriptors| {
        let limits = limits.clone().within_descriptors(descriptors);
        (limits.connections, limits.reserved_connections)
    };
    assert_eq!(of(None), (4_096, 2_048));
    assert_eq!(of(Some(1 << 20)), (4_096, 2_048));
    assert_eq!(of(Some(65_536)), (4_096, 2_048));
    assert_eq!(of(Some(2_048)), (128, 64));
    assert_eq!(of(Some(0)), (1, 0));
}

#[test]
fn all_listeners_of_a_process_use_at_most_half_of_its_descriptors() {
    let client = ConnectionLimits {
        descriptor_share: CLIENT_LISTENER_SHARE,
        ..ConnectionLimits::default()
    };
    // Peers, push, admin and the private port.
    let others = std::iter::repeat_n(ConnectionLimits::default(), 4);
    for descriptors in [256, 1_024, 20_000, 65_536] {
        let listeners = std::iter::once(client.clone()).chain(others.clone());
        let connections = listeners.map(|it| it.within_descriptors(Some(descriptors)).connections);
        assert_eq!(connections.sum::<usize>() as u64, descriptors / 2);
    }
}

#[test]
fn one_address_leaves_half_of_the_connections_of_a_process_with_few_descriptors() {
    let of = |descriptors| {
        let limits = ConnectionLimits {
            descriptor_share: CLIENT_LISTENER_SHARE,
            ..ConnectionLimits::default()
        };
        let limits = limits.within_descriptors(descriptors);
        (limits.connections, limits.connections_per_address)
    };
    assert_eq!(of(None), (65_536, 8_192));
    assert_eq!(of(Some(1 << 20)), (65_536, 8_192));
    assert_eq!(of(Some(100_000)), (25_000, 8_192));
    assert_eq!(of(Some(20_000)), (5_000, 2_500));
    assert_eq!(of(Some(256)), (64, 32));
    assert_eq!(of(Some(4)), (1, 1));
    assert_eq!(of(Some(0)), (1, 1));
}
