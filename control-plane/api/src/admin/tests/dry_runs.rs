//! Tests that a dry run reports the same object as the real write.

use toolgate_control_core::Command;
use toolgate_model::{Definition, Digest, ObjectName, ServerDefinitions};

use super::*;

fn tools(names: &[&str]) -> pb::Gateway {
    let names = names.iter();
    pb::Gateway {
        spec: Some(GatewaySpec {
            bindings: vec![pb::Binding {
                server: "git".into(),
                tools: names.map(ToString::to_string).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Returns the exposed names and the problems of a gateway.
fn status(gateway: &pb::Gateway) -> (Vec<&str>, &[String]) {
    let status = gateway.status.as_ref().unwrap();
    let names = status.tools.iter().map(|tool| tool.name.as_str());
    (names.collect(), &status.problems)
}

async fn create(router: &Router, gateway: pb::Gateway, dry_run: bool) -> pb::Gateway {
    let request = CreateGatewayRequest {
        parent: "organizations/acme".into(),
        gateway_id: "tools".into(),
        gateway: Some(gateway),
        dry_run,
        ..Default::default()
    };
    let answer = call(router, "Gateways/CreateGateway", Some("editor"), &request).await;
    answer.read()
}

#[tokio::test]
async fn a_dry_run_reports_the_tools_and_problems_of_the_real_write() {
    let (router, control_api, _trigger) = start();
    made(&router, "git").await;
    let server = ObjectName::new("acme".parse().unwrap(), "git".parse().unwrap());
    let definition = |name: &str| Definition {
        name: name.to_owned(),
        digest: Digest::of_bytes(name.as_bytes()),
        json: format!(r#"{{"name":"{name}"}}"#).into(),
    };
    control_api
        .command(Command::RecordDefinitions(ServerDefinitions {
            era: Some(toolgate_model::Era::Modern),
            tools: ["get", "log"].map(definition).into(),
            ..memory::definitions(server)
        }))
        .unwrap();

    let dry = create(&router, tools(&["get", "lgo"]), true).await;
    let (offered, problems) = status(&dry);
    assert_eq!(offered, ["git__get"]);
    assert!(
        problems.len() == 1 && problems[0].contains("`lgo`"),
        "{problems:?}"
    );
    let real = create(&router, tools(&["get", "lgo"]), false).await;
    assert_eq!(status(&real), status(&dry));

    let mut mended = tools(&["get", "log"]);
    mended.metadata = real.metadata;
    let request = UpdateGatewayRequest {
        gateway: Some(mended),
        dry_run: true,
        ..Default::default()
    };
    let answer = call(&router, "Gateways/UpdateGateway", Some("editor"), &request).await;
    let dry: pb::Gateway = answer.read();
    assert_eq!(status(&dry), (vec!["git__get", "git__log"], &[][..]));
}
