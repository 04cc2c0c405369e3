//! Application of documents, several at a time. Documents of one kind do not refer to each other, so that only kinds wait
//! for each other.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{Stream, StreamExt as _, stream};

use super::{AppliedObject, document::apply_one};
use crate::cli::{
    client::{admin::AdminClient, manifest::ManifestDocument},
    output::error::CliError,
};

/// Maximum number of documents that are written at a time.
const IN_FLIGHT: usize = 32;

/// Set by the first failure: documents that were not begun by then are left out.
#[derive(Default)]
pub(super) struct StopFlag(AtomicBool);

impl StopFlag {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Splits documents, sorted by kind, into groups that are applied one after another.
pub(super) fn groups(documents: &[ManifestDocument]) -> impl Iterator<Item = &[ManifestDocument]> {
    documents.chunk_by(|one, next| one.kind.rank() == next.kind.rank())
}

/// Applies documents and returns their results in their order. What was begun is completed, also after a failure, because
/// only its result tells what was written. The result of a document that was not begun is `None`.
pub(super) fn results<'a>(
    admin: &'a AdminClient,
    documents: &'a [ManifestDocument],
    dry_run: bool,
    stop: &'a StopFlag,
) -> impl Stream<
    Item = (
        &'a ManifestDocument,
        Option<Result<AppliedObject, CliError>>,
    ),
> + 'a {
    let applying = move |document: &'a ManifestDocument| async move {
        if stop.is_set() {
            return (document, None);
        }
        let mut admin = client_for(admin, document);
        let applied = apply_one(&mut admin, document, dry_run).await;
        if applied.is_err() && !dry_run {
            stop.set();
        }
        (document, Some(applied))
    };
    stream::iter(documents).map(applying).buffered(IN_FLIGHT)
}

/// Returns a client for the organization of a document. Clients share their connection.
pub(super) fn client_for(admin: &AdminClient, document: &ManifestDocument) -> AdminClient {
    let admin = admin.clone();
    match &document.organization {
        Some(organization) => admin.with_organization(organization),
        None => admin,
    }
}
