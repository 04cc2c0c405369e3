//! Tests that a start does not go on with a store that is not what was served before, also after others have written to it, and
//! that a damaged record is not taken for none.

use std::{path::Path, time::Duration};

use tokio::time::{sleep, timeout};
use toolgate_control_core::{ServedChange, StoreRefusal};
use toolgate_store::StoreOpenError;

use super::*;

/// Opens the file at `path` as soon as the threads of an earlier control plane have closed it.
async fn open(path: &Path) -> Arc<dyn Store> {
    let opened = async {
        loop {
            match EmbeddedStore::open(path, clock::system()) {
                Ok(store) => return Arc::new(store),
                Err(StoreOpenError::InUse(_)) => sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(HANG_GUARD, opened).await.unwrap()
}

/// Starts over the file at `path`, creates organizations with these ids, and stops.
async fn serve(folder: &Path, path: &Path, ids: &[&str]) -> Result<ServedChange, StartError> {
    let store = open(path).await;
    let (plane, trigger) = start(options(folder), &store).await;
    let plane = match plane {
        Ok(plane) => plane,
        Err(error) => {
            drop(store);
            trigger.drain(HANG_GUARD).await;
            return Err(error);
        }
    };
    for id in ids {
        let create = Command::Create(fixture::organization(id).into());
        let context = fixture::context();
        let written = plane.write_path().write(create, context).await.unwrap();
        let writer = &plane.write_path().writer;
        writer.state_at(written.revision).await;
    }
    let served = ServedChange::of(&plane.write_path().writer.current());
    drop((plane, store));
    trigger.drain(HANG_GUARD).await;
    Ok(served)
}

#[tokio::test]
async fn an_older_store_is_refused_also_after_others_have_written_to_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, copy) = (one.path().join("store.redb"), one.path().join("copy"));
    serve(one.path(), &file, &["a"]).await.unwrap();
    std::fs::copy(&file, &copy).unwrap();
    let served = serve(one.path(), &file, &["b", "c"]).await.unwrap();
    assert!(served.log_entry.is_some() && served.epoch_began.is_some());

    // The copy goes to a machine that knows nothing of the later changes.
    std::fs::copy(one.path().join("key"), two.path().join("key")).unwrap();
    let ids = ["d", "e", "f", "g", "h"];
    let other = serve(two.path(), &copy, &ids).await.unwrap();
    assert!(other.revision > served.revision);
    let refused = serve(one.path(), &copy, &[]).await;
    let Err(StartError::OlderStore(error)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        matches!(*error.refusal, StoreRefusal::OtherHistory { .. }),
        "{error}"
    );
    // Both go on with what they served.
    serve(one.path(), &file, &["i"]).await.unwrap();
    serve(two.path(), &copy, &[]).await.unwrap();
}

#[tokio::test]
async fn a_damaged_record_is_refused_and_is_written_anew_with_a_new_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (file, record) = (
        folder.path().join("store.redb"),
        folder.path().join("deployment"),
    );
    serve(folder.path(), &file, &[]).await.unwrap();
    let served = std::fs::read_to_string(&record).unwrap();
    for damaged in [
        "epoch 1\nrevision 12x\n",
        "",
        &served[..served.len() - 2],
        &served.replace("epoch 1", "epoch 0"),
    ] {
        std::fs::write(&record, damaged).unwrap();
        let refused = serve(folder.path(), &file, &[]).await;
        let Err(StartError::DamagedRecord(error)) = refused else {
            panic!("{damaged:?}: {refused:?}");
        };
        let told = error.to_string();
        for words in [&*record.display().to_string(), "`--new-epoch`"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(std::fs::read_to_string(&record).unwrap(), damaged);
    }
    let store = open(&file).await;
    let adopting = StartOptions {
        new_epoch: true,
        ..options(folder.path())
    };
    let (plane, trigger) = start(adopting, &store).await;
    drop((plane.unwrap(), store));
    trigger.drain(HANG_GUARD).await;
    let served = serve(folder.path(), &file, &[]).await.unwrap();
    assert_eq!(served.epoch, 18, "later than what proxies may know");
}
