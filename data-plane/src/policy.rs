//! Stages of the policy in the request path. The filters of a stage, and the quota that a request uses, are decided by
//! the core; the state of the filters is kept here. The rate limit per token from the settings of the proxy is no filter
//! of the snapshot: it is applied first in the stage `admit`, see `rate_limit/per_token.rs`.

use std::time::Instant;

use toolgate_data_core::{Caller, GatewayView, Refusal, plan::CallPlan, policy::Filter};

use crate::{config_source::ConfigSource, proxy_state::ProxyState};

impl<S: ConfigSource> ProxyState<S> {
    /// Stage `admit`: counts a request that arrived at `now` towards the rates of the token, the gateway and the
    /// organization, before its body is read. A request counts once: where its client sent it, and a batch by its members. A
    /// refused message that releases resources passes at a rate of its own, see `release_rate.rs`.
    pub(crate) fn admit(
        &self,
        gateway: &GatewayView,
        caller: &Caller,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.limiter.check_rate(caller, now)?;
        self.apply(caller.admit_filters(), caller, None)?;
        self.apply(gateway.policy.admit(), caller, None)
    }

    /// Stage `before_call`: applies the filters of the binding and the server.
    pub(crate) fn before_call(&self, caller: &Caller, call: &CallPlan) -> Result<(), Refusal> {
        let filters = call.gateway.policy.before_call(&call.server().name.id);
        self.apply(filters, caller, Some(call))
    }

    fn apply(
        &self,
        filters: &[Filter],
        caller: &Caller,
        call: Option<&CallPlan>,
    ) -> Result<(), Refusal> {
        for filter in filters {
            match filter {
                Filter::RateLimit(limit) => {
                    let Some(bucket) = limit.bucket(caller, call) else {
                        continue;
                    };
                    let proxies = self.source.serving_proxies();
                    self.rate_limits.check(limit, &bucket, proxies)?;
                }
            }
        }
        Ok(())
    }
}
