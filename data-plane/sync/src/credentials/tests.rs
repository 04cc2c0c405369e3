//! A resolution that was cut off does not stand in the way of the next one.

use std::time::Duration;

use tokio::{runtime, time::timeout};
use toolgate_runtime::{Metrics, Readiness, clock, drain};

use super::*;
use crate::control_channels;

fn key() -> PendingKey {
    let org = "acme".parse().unwrap();
    PendingKey {
        server: ObjectName::new(org, "files".parse().unwrap()),
        credential: CredentialRef {
            id: "files-key".parse().unwrap(),
            revision: 1,
            scope: CredentialScope::Shared,
        },
        principal: None,
    }
}

#[test]
fn a_resolution_that_was_aborted_is_started_again_by_the_next_request() {
    let (drain, _trigger) = drain::new();
    let context = ProxyContext {
        clock: clock::system(),
        metrics: Metrics::new(),
        readiness: Readiness::new(),
        drain,
    };
    // Nothing answers: there is no connection to a control plane.
    let (_setter, channels) = control_channels::unset();
    let (_version, versions) = watch::channel(Version::default());
    let cache = CredentialCache::new(channels, &context, None, &View::empty(), versions);
    let waits = |cache: &CredentialCache| {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let short = Duration::from_millis(50);
        let waited = runtime.block_on(async { timeout(short, cache.resolve_once(key())).await });
        assert_eq!(cache.inner.pending().len(), 1, "it is being resolved");
        // Aborts the task of the resolution.
        drop(runtime);
        waited.is_err()
    };
    assert!(waits(&cache));
    assert!(cache.inner.pending().is_empty(), "nothing is left of it");
    assert!(waits(&cache), "it is resolved again");
}
