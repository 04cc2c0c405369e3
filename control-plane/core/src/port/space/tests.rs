//! Tests of the fill levels.

use super::{SpaceLevel, StoreSpace};

fn level(used: u64, quota: u64) -> SpaceLevel {
    StoreSpace {
        used,
        quota,
        ..StoreSpace::default()
    }
    .level()
}

#[test]
fn less_important_writes_end_before_the_store_is_full() {
    assert_eq!(level(59, 100), SpaceLevel::Ample);
    assert_eq!(level(60, 100), SpaceLevel::Warned);
    assert_eq!(level(80, 100), SpaceLevel::Crowded);
    assert_eq!(level(95, 100), SpaceLevel::Reserved);
    assert_eq!(level(1, 0), SpaceLevel::Ample, "an unknown quota");
    let full = StoreSpace {
        used: 1,
        quota: 100,
        is_full: true,
        ..StoreSpace::default()
    };
    assert_eq!(full.level(), SpaceLevel::Reserved);
}
