//! Applies rate limits, and the other filters of the policy, in the stages of the request path. The filters of a stage, and
//! the quota that a request uses, are decided by the core (`policy` of `data-plane/core`); `rate_limit.rs` counts. The rate
//! limit per token from the settings of the proxy is no filter of the snapshot: it is applied first in the stage `admit`, see
//! `rate_limit/per_token.rs`.

use std::time::Instant;

use toolgate_data_core::{
    Caller, GatewayView, Refusal,
    plan::CallPlan,
    policy::{Filter, RateLimitFilter},
};

use crate::{config_source::ConfigSource, proxy_state::ProxyState};

impl<S: ConfigSource> ProxyState<S> {
    /// Stage `admit`: counts a request towards the rates of the token, the gateway and the organization, before its body is
    /// read (members of a batch: after it). `now` is its time for the rate from the settings; configured limits have a clock of
    /// their own. A request counts once: where its client sent it, and a batch by its members. A
    /// refused message that releases resources passes at a rate of its own, see `release_rate.rs`; the end of a session
    /// (`DELETE`) counts towards the rate from the settings only, see `pipeline.rs`.
    pub(crate) fn admit(
        &self,
        gateway: &GatewayView,
        caller: &Caller,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.limiter.check_rate(caller, now)?;
        self.apply_filters(caller.admit_filters(), caller, None)?;
        self.apply_filters(gateway.policy.admit(), caller, None)
    }

    /// Stage `before_call`: applies the filters of the binding and the server.
    pub(crate) fn before_call(&self, caller: &Caller, call: &CallPlan) -> Result<(), Refusal> {
        let filters = call.gateway.policy.before_call(&call.server().name.id);
        self.apply_filters(filters, caller, Some(call))
    }

    fn apply_filters(
        &self,
        filters: &[Filter],
        caller: &Caller,
        call: Option<&CallPlan>,
    ) -> Result<(), Refusal> {
        for filter in filters {
            match filter {
                Filter::RateLimit(limit) => self.apply_rate_limit(limit, caller, call)?,
            }
        }
        Ok(())
    }

    /// Counts the request towards the quota of this limit that it uses, if any.
    fn apply_rate_limit(
        &self,
        limit: &RateLimitFilter,
        caller: &Caller,
        call: Option<&CallPlan>,
    ) -> Result<(), Refusal> {
        let Some(bucket) = limit.bucket(caller, call) else {
            return Ok(());
        };
        let proxies = self.source.serving_proxies();
        self.rate_limits.check(limit, &bucket, proxies)
    }
}
