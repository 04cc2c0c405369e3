//! Tests that health follows readiness and cannot be watched.

use tonic::Code;

use super::{health_server::Health as _, *};

#[tokio::test]
async fn health_follows_readiness_and_watch_is_unimplemented() {
    let readiness = Readiness::new();
    let health = HealthService {
        readiness: readiness.clone(),
    };
    let asked = || Request::new(HealthCheckRequest::default());
    let starting = readiness.block("start");
    let answer = health.check(asked()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    starting.release();
    let answer = health.check(asked()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    readiness.withdraw();
    let answer = health.check(asked()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    let watched = health.watch(asked()).await.unwrap_err();
    assert_eq!(watched.code(), Code::Unimplemented);
}
