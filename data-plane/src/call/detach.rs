//! Work that outlives its request. A legacy client that disconnects has not cancelled its call: the call is finished in
//! the background. While the client waits, this costs one allocation and no task.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use toolgate_runtime::Drain;

/// Future that a task of its own finishes if it is dropped before its end.
pub(super) struct DetachOnDrop<F: Future<Output: Send + 'static> + Send + 'static> {
    rest: Option<(Pin<Box<F>>, Drain)>,
}

impl<F: Future<Output: Send + 'static> + Send + 'static> DetachOnDrop<F> {
    pub(super) fn new(future: Pin<Box<F>>, drain: Drain) -> Self {
        Self {
            rest: Some((future, drain)),
        }
    }
}

impl<F: Future<Output: Send + 'static> + Send + 'static> Future for DetachOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out while it is polled: a future that panics must not be polled again.
        let Some((mut future, drain)) = self.rest.take() else {
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            self.rest = Some((future, drain));
        }
        polled
    }
}

impl<F: Future<Output: Send + 'static> + Send + 'static> Drop for DetachOnDrop<F> {
    fn drop(&mut self) {
        if let Some((future, drain)) = self.rest.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            drop(drain.spawn("call whose client left", future));
        }
    }
}

#[cfg(test)]
mod tests;
