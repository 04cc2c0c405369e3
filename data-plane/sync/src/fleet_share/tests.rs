//! Tests that a proxy keeps the share that it was told last, also without a control plane.

use toolgate_runtime::Readiness;

use super::*;

fn share(serving_proxies: u32) -> FleetShare {
    FleetShare { serving_proxies }
}

#[tokio::test]
async fn the_share_told_last_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(EncryptedDirectory::open(folder.path()).unwrap());
    assert_eq!(load(&disk), NonZeroU32::MIN);
    let state = SyncState::new(&Readiness::new());
    apply(share(3), &state, Some(&disk)).await;
    assert_eq!(load(&disk).get(), 3);
    assert!(!state.set_serving_proxies(load(&disk)));
    // Nothing divides by zero.
    apply(share(0), &state, Some(&disk)).await;
    assert_eq!(load(&disk), NonZeroU32::MIN);
}

#[test]
fn an_unreadable_share_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk = EncryptedDirectory::open(folder.path()).unwrap();
    for bytes in [&[][..], &[0; 4], &[1; 9]] {
        disk.save(FILE, bytes).unwrap();
        assert_eq!(load(&disk), NonZeroU32::MIN);
    }
}
