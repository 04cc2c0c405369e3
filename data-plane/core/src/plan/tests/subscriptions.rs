//! Tests of subscriptions to resources: a caller subscribes to what it may read, at gateways with a server that reports
//! updates.

use crate::{
    Plan, Refusal,
    fixture::{GatewayFixture, META, test_servers, test_snapshot},
};

const URI: &str = "weather+memo:today";

/// Gateway with a server that reports updates of its resources.
fn world() -> GatewayFixture {
    let mut offers = test_servers();
    offers[0].capabilities = r#"{"resources":{"subscribe":true}}"#;
    GatewayFixture::of(&test_snapshot(&offers))
}

/// Plan of a request of a legacy client about this resource.
fn asked(world: &GatewayFixture, token: &str, method: &str, uri: &str) -> Plan {
    let params = format!(r#"{{"uri":"{uri}"}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    world.legacy(token, &body)
}

/// Servers' own URIs of the resources that a modern client listens to if it asks for this one.
fn listened(world: &GatewayFixture, token: &str, uri: &str) -> Vec<String> {
    let filter = format!(r#"{{"resourceSubscriptions":["{uri}"]}}"#);
    let params = format!(r#"{{"notifications":{filter},"_meta":{{{META}}}}}"#);
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{params}}}"#);
    let plan = world.modern(token, &body, &[]);
    let Plan::Listen(listen) = plan else {
        panic!("{plan:?}");
    };
    let resources = listen.resources.iter();
    resources.map(|it| it.original.to_string()).collect()
}

fn refused(plan: Plan) -> &'static str {
    let Plan::Refuse(refusal) = plan else {
        panic!("{plan:?}");
    };
    refusal.kind()
}

#[test]
fn a_caller_subscribes_to_resources_that_it_may_read() {
    let world = world();
    let plan = asked(&world, "all", "resources/subscribe", URI);
    let Plan::Subscribe(target, _) = plan else {
        panic!("{plan:?}");
    };
    assert_eq!(target.server.name.to_string(), "acme/weather");
    assert_eq!((&*target.exposed, &*target.original), (URI, "memo:today"));
    assert_eq!(listened(&world, "all", URI), ["memo:today"]);
    // The token of the first is limited to tools; there is no server with the prefix of the second.
    for (token, uri) in [("few", URI), ("all", "lost+memo:today")] {
        let plan = asked(&world, token, "resources/subscribe", uri);
        assert_eq!(refused(plan), "unknown_resource", "{token} {uri}");
        assert!(listened(&world, token, uri).is_empty(), "{token} {uri}");
    }
}

#[test]
fn a_subscribed_uri_has_at_most_2048_bytes() {
    let world = world();
    let uri = |length: usize| {
        let start = "weather+memo:";
        format!("{start}{}", "x".repeat(length - start.len()))
    };
    let subscribe = |length| asked(&world, "all", "resources/subscribe", &uri(length));
    assert!(matches!(subscribe(2048), Plan::Subscribe(..)));
    assert_eq!(refused(subscribe(2049)), "unknown_resource");
}

#[test]
fn a_subscription_ends_without_a_check_of_access() {
    let world = world();
    for token in ["all", "few"] {
        let plan = asked(&world, token, "resources/unsubscribe", URI);
        assert!(
            matches!(&plan, Plan::Unsubscribe(uri, _) if &**uri == URI),
            "{plan:?}"
        );
    }
}

#[test]
fn a_gateway_whose_servers_report_no_updates_has_no_subscriptions() {
    let world = GatewayFixture::new();
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        let plan = asked(&world, "all", method, URI);
        let unknown = Refusal::MethodNotFound {
            method: method.to_owned(),
            modern: false,
        };
        assert!(matches!(plan, Plan::Refuse(refusal) if refusal == unknown));
    }
    assert!(listened(&world, "all", URI).is_empty());
}
