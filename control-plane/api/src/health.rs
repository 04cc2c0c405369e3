//! Health service, open to unauthenticated clients. `Check` returns the same answer as the private port. `Watch` is not
//! implemented, because it is open to every client and would never end.

use tokio_stream::Empty;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{self, HealthServer},
};
use toolgate_runtime::Readiness;

#[cfg(test)]
mod tests;

/// Health service that reports the readiness of the process.
pub(crate) struct HealthService {
    readiness: Readiness,
}

/// Builds the health service.
pub(crate) fn server(readiness: Readiness) -> HealthServer<HealthService> {
    HealthServer::new(HealthService { readiness })
}

#[tonic::async_trait]
impl health_server::Health for HealthService {
    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = match self.readiness.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(
            "health is not watched here; ask with Check",
        ))
    }
}
