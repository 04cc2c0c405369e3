//! Connection of a probe: the endpoints of a server are asked in order until a connection to one can be made.

use std::{sync::Arc, time::Duration};

use toolgate_client::{
    ClientError, PresentedCredential, ReadLimits, ServerClient, ServerEndpoint, detect,
};
use toolgate_model::{Endpoint, ProbeFailure, ProbeProblem};
use url::Url;

use crate::{inspect::ServerInspector, problem_text, target::ProbeTarget};

/// Time that connecting to each of several endpoints has at least, unless all of them have less.
const MIN_CONNECT_TIME: Duration = Duration::from_secs(1);

/// Endpoint that a probe has reached.
pub(crate) struct ReachedEndpoint {
    pub(crate) endpoint: ServerEndpoint,
    pub(crate) peer: ServerClient,
    /// Warning about the endpoints before it, to which no connection could be made.
    pub(crate) warning: Option<ProbeProblem>,
}

impl ServerInspector {
    /// Connects to the first endpoint to which a connection can be made. Any other failure is that of the server.
    pub(crate) async fn reach(
        &self,
        target: &ProbeTarget,
    ) -> Result<ReachedEndpoint, ProbeProblem> {
        let count = target.endpoints.count();
        let mut unreached: Vec<(&Endpoint, ClientError)> = Vec::new();
        for configured in target.endpoints.iter() {
            let endpoint = self.endpoint(target, &configured.url).await?;
            let detected = detect(
                &self.http,
                &endpoint,
                target.protocol,
                &self.implementation,
                &self.drain,
            );
            match detected.await {
                Ok(peer) => {
                    return Ok(ReachedEndpoint {
                        endpoint,
                        peer,
                        warning: problem_text::of_unreached(&unreached, target),
                    });
                }
                Err(error) => {
                    // The problem that operators of an organization see contains neither addresses nor text of the server.
                    let (server, url) = (&target.server, configured.url.as_str());
                    tracing::info!(%server, url, %error, "a server could not be probed");
                    let is_last = unreached.len() + 1 == count;
                    if is_last || !error.is_endpoint_unreachable() {
                        return Err(match unreached.is_empty() {
                            true => problem_text::failed_probe(&error, target),
                            false => {
                                problem_text::of_last_endpoint(&error, unreached.len(), target)
                            }
                        });
                    }
                    unreached.push((configured, error));
                }
            }
        }
        // The list of endpoints is never empty.
        let error = ClientError::Request("the server has no endpoint");
        Err(problem_text::failed_probe(&error, target))
    }

    /// Returns the endpoint at `url` with the credential of the server. The endpoints share the time for connecting.
    async fn endpoint(
        &self,
        target: &ProbeTarget,
        url: &Url,
    ) -> Result<ServerEndpoint, ProbeProblem> {
        let credential = self.credential(target, url).await?;
        // The limit for a page of a list is the limit for a list, not the limit for answers to callers.
        let limits = ReadLimits {
            message: self.list_limits.bytes,
        };
        let mut timeouts = target.timeouts;
        timeouts.connect = connect_share(timeouts.connect, target.endpoints.count());
        let endpoint = ServerEndpoint::new(url, credential, timeouts);
        let endpoint = endpoint.map_err(|error| problem_text::failed_probe(&error, target))?;
        Ok(endpoint
            .with_max_timeout(self.list_limits.request_time)
            .with_cdn_id(self.cdn_id.clone())
            .with_limits(limits)
            .with_response_budget(Arc::clone(&self.budget)))
    }

    async fn credential(
        &self,
        target: &ProbeTarget,
        url: &Url,
    ) -> Result<Option<PresentedCredential>, ProbeProblem> {
        let Some(credential) = &target.credential else {
            return Ok(None);
        };
        let presented = self.headers.header(&target.server, credential, url).await;
        presented.map(Some).map_err(|error| {
            let text = problem_text::of_header(&error, target);
            ProbeProblem::failed(text, ProbeFailure::Credential)
        })
    }
}

/// Returns the time for connecting to one of `count` endpoints: an equal share, or [`MIN_CONNECT_TIME`].
fn connect_share(time: Duration, count: usize) -> Duration {
    let share = time / u32::try_from(count).unwrap_or(u32::MAX).max(1);
    share.max(MIN_CONNECT_TIME).min(time)
}
