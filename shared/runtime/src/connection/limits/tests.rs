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
    assert_eq!(of(Some(8_192)), (4_096, 2_048));
    assert_eq!(of(Some(256)), (128, 64));
    assert_eq!(of(Some(0)), (1, 0));
}
