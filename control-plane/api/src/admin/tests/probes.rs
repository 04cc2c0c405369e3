//! Tests of the status of a server that does not answer probes.

use toolgate_control_core::Command;
use toolgate_model::{ObjectName, ProbeFailure, ProbeProblem, ServerDefinitions, Timestamp};

use super::*;
use crate::memory::START;

const REFUSED: &str = "no connection; check that it is up";

fn failed(at: Timestamp) -> Command {
    let server = ObjectName::new("acme".parse().unwrap(), "git".parse().unwrap());
    Command::RecordDefinitions(ServerDefinitions {
        problem: Some(ProbeProblem::failed(REFUSED, ProbeFailure::Unreachable)),
        probed: at,
        ..memory::definitions(server)
    })
}

async fn gateway_status(router: &Router) -> pb::GatewayStatus {
    let name = "organizations/acme/gateways/tools".into();
    let request = GetGatewayRequest { name };
    let answer = call(router, "Gateways/GetGateway", Some("viewer"), &request).await;
    let gateway: pb::Gateway = answer.read();
    gateway.status.unwrap()
}

async fn gateway(router: &Router) -> Vec<String> {
    gateway_status(router).await.problems
}

#[tokio::test]
async fn a_failed_probe_is_reported_with_its_problem_and_start_time() {
    let (router, control_api, _trigger) = start();
    made(&router, "git").await;
    assert_eq!(get(&router, "git").await.read::<pb::Server>().status, None);
    let create = CreateGatewayRequest {
        parent: "organizations/acme".into(),
        gateway_id: "tools".into(),
        gateway: Some(pb::Gateway {
            spec: Some(GatewaySpec {
                bindings: vec![pb::Binding {
                    server: "git".into(),
                    all_tools: true,
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = call(&router, "Gateways/CreateGateway", Some("editor"), &create).await;
    assert_eq!(answer.code, Code::Ok, "{:?}", answer.status);
    let problems = gateway(&router).await;
    assert!(
        problems[0].contains("has not been probed yet"),
        "{problems:?}"
    );

    control_api.command(failed(START)).unwrap();
    let first = gateway(&router).await;
    for words in [
        "spec.bindings[0].server: ",
        REFUSED,
        "2023-11-14T22:13:20Z",
        "within 30 s",
        "`toolgate server probe git`",
    ] {
        assert!(first[0].contains(words), "{words}: {first:?}");
    }
    // The start of a problem is kept, however often the problem is found again.
    let later = START.after(std::time::Duration::from_secs(3600));
    control_api.command(failed(later)).unwrap();
    assert_eq!(gateway(&router).await, first);
    let [detail] = &gateway_status(&router).await.problem_details[..] else {
        panic!("one problem has one set of details");
    };
    assert_eq!(detail.text, first[0]);
    assert_eq!(detail.severity(), pb::ProblemSeverity::Error);
    let concerned = (&*detail.reason, &*detail.server, &*detail.field);
    let expected = ("NOT_PROBED", "git", "spec.bindings[0].server");
    assert_eq!(concerned, expected);
    let status = get(&router, "git")
        .await
        .read::<pb::Server>()
        .status
        .unwrap();
    assert_eq!((status.problem.as_str(), status.seen), (REFUSED, false));
    assert_eq!(status.probe_outcome(), pb::ProbeOutcome::Failed);
    assert_eq!(status.probe_failure(), pb::ProbeFailure::Unreachable);
    let seconds = |at: Option<prost_types::Timestamp>| at.unwrap().seconds;
    assert_eq!(seconds(status.problem_since_time), 1_700_000_000);
    assert_eq!(seconds(status.probe_time), 1_700_003_600);
}
