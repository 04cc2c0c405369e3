//! Permits for requests to one server.

use std::sync::Arc;

use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_runtime::random;

use crate::{
    bulkhead::BulkheadPermit,
    circuit_breaker::{BreakerAdmission, CircuitBreaker},
    upstream::Upstream,
};

/// Permission for one request. Its outcome is reported to the circuit breaker; a permit that is dropped without a
/// report counts neither as a success nor as a failure.
pub(crate) struct CallPermit {
    upstream: Arc<Upstream>,
    /// `true` if the circuit breaker waits for this outcome.
    probe: bool,
    reported: bool,
    /// `true` if a timeout says nothing of the health of the server.
    tolerates_timeout: bool,
    /// `None` once the request occupies the server no more.
    bulkhead: Option<BulkheadPermit>,
}

impl CallPermit {
    pub(crate) fn new(
        upstream: Arc<Upstream>,
        bulkhead: BulkheadPermit,
    ) -> Result<Self, UpstreamFailure> {
        let probe = match upstream.admit() {
            BreakerAdmission::Pass => false,
            BreakerAdmission::Probe => true,
            BreakerAdmission::Refused => return Err(UpstreamFailure::CircuitOpen),
        };
        Ok(Self {
            upstream,
            probe,
            reported: false,
            tolerates_timeout: false,
            bulkhead: Some(bulkhead),
        })
    }

    /// Reports an answer that is no failure of the server.
    pub(crate) fn record_success(&mut self) {
        self.reported = true;
        if self.upstream.has_failures() {
            self.upstream
                .change_breaker(None, CircuitBreaker::record_success);
        }
        self.upstream.accept_credential();
    }

    /// Ends a probe of the circuit breaker: the server answers with a stream, which can last as long as a person takes
    /// to answer. Other callers do not wait for that. A failure of the stream is reported by itself.
    pub(crate) fn stream_began(&mut self) {
        if self.probe {
            self.record_success();
            self.probe = false;
        }
    }

    /// Leaves timeouts out of the health of the server: the gateway gives the call less time than the server's own
    /// limit.
    pub(crate) fn tolerate_timeout(&mut self) {
        self.tolerates_timeout = true;
    }

    /// Reports a failure. Only failures that concern the health of the server count.
    pub(crate) fn record_failure(&mut self, failure: UpstreamFailure) {
        match failure {
            UpstreamFailure::Timeout if self.tolerates_timeout => {}
            UpstreamFailure::Unreachable
            | UpstreamFailure::Timeout
            | UpstreamFailure::Broken
            | UpstreamFailure::Status
            | UpstreamFailure::ServerError => {
                self.reported = true;
                let (probe, now) = (self.probe, self.upstream.breaker_time());
                let stays_open = self.upstream.change_breaker(Some(failure), |breaker| {
                    breaker.record_failure(probe, now, random::number())
                });
                if stays_open {
                    self.upstream.record_failed_probe(failure);
                }
            }
            // The server answered, if not as it should: a bad request of one caller must not refuse others.
            UpstreamFailure::Malformed
            | UpstreamFailure::RateLimited
            | UpstreamFailure::TooDeep
            | UpstreamFailure::TooLarge
            | UpstreamFailure::TooManyMessages
            | UpstreamFailure::StateTooLarge
            | UpstreamFailure::TooLargeAfterRewrite
            | UpstreamFailure::NeedsInput
            | UpstreamFailure::InputNotGiven
            | UpstreamFailure::SessionLost => self.record_success(),
            // The server was not reached, or the failure says nothing of it. A caller can cause a loop by a `CDN-Loop` of its own.
            UpstreamFailure::CircuitOpen
            | UpstreamFailure::Loop
            | UpstreamFailure::Busy
            | UpstreamFailure::TooManyOpen(_)
            | UpstreamFailure::Overloaded
            | UpstreamFailure::ResourcesExhausted
            | UpstreamFailure::ResponseBufferFull => {}
            // Permits are given to calls whose credential was resolved: the server refused it.
            UpstreamFailure::Credential => self.upstream.count_refused_credential(),
        }
    }

    /// Releases the place at the server, although the call has not ended.
    pub(crate) fn release(&mut self) {
        self.bulkhead = None;
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        if self.probe && !self.reported {
            let now = self.upstream.breaker_time();
            self.upstream
                .change_breaker(None, |breaker| breaker.record_abandoned(now));
        }
    }
}
