//! The end of a call ahead of its answer: by a message of its client, or by the revocation of its token.

use std::{
    future::{Future, pending},
    pin::Pin,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either, Fuse, select},
};
use toolgate_session::CancellableCallGuard;

use crate::request_limiter::RequestPermit;

/// Future that ends once when a call is cancelled or its token is revoked. It may be polled after its end.
pub(super) type Cancellation = Fuse<BoxFuture<'static, ()>>;

/// Returns a future that ends when the call is cancelled or its token is revoked.
pub(super) fn cancellation(
    guard: Option<&CancellableCallGuard>,
    permit: &RequestPermit,
) -> Cancellation {
    let handle = guard.map(CancellableCallGuard::cancel_handle);
    let revoked = permit.authn_ended_static();
    let cancellation: BoxFuture<'static, ()> = Box::pin(async move {
        let cancelled = async {
            match &handle {
                Some(handle) => handle.cancelled().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = cancelled => {}
            () = revoked => {}
        }
    });
    cancellation.fuse()
}

/// Ends when the call is cancelled by a message or its token is revoked.
pub(super) async fn cancelled(guard: Option<&CancellableCallGuard>, permit: &RequestPermit) {
    let by_message = if_some(guard.map(CancellableCallGuard::cancelled));
    tokio::select! {
        () = by_message => {}
        () = permit.authn_ended() => {}
    }
}

/// Waits for `work`; `None` if `cancelled` ends first.
pub(super) async fn or_cancelled<T>(
    cancelled: Pin<&mut impl Future<Output = ()>>,
    work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    match select(work, cancelled).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}

/// Waits for `future`, or for ever if there is none.
pub(super) async fn if_some(future: Option<impl Future<Output = ()>>) {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
