//! A process without descriptors. The limit holds for the whole process, so that this test has one of its own.

use std::{sync::Arc, time::Duration};

use http::Request;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use toolgate_egress::{
    Egress, EgressError, EgressErrorClass, EgressPolicy, EgressRequestBody, PoolOptions,
    SystemResolver,
};

#[tokio::test]
async fn a_process_without_descriptors_does_not_blame_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let policy = EgressPolicy {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };
    let egress = Egress::with_resolver(policy, Arc::new(SystemResolver)).unwrap();
    let http = egress.http(PoolOptions {
        connect_timeout: Duration::from_secs(30),
        ..PoolOptions::default()
    });
    let limit = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(3),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, none).unwrap();
    let mut errors = Vec::new();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        // Resolved with a descriptor that is not there either.
        format!("http://localhost:{port}/"),
    ] {
        let request = Request::get(url).body(EgressRequestBody::empty()).unwrap();
        errors.push(http.request(request).await.err().unwrap());
    }
    setrlimit(Resource::Nofile, limit).unwrap();
    for error in errors {
        assert!(matches!(error, EgressError::Exhausted(_)), "{error}");
        assert_eq!(error.class(), EgressErrorClass::Exhausted);
        assert!(error.connect_failed(), "nothing was sent");
    }
    assert_eq!(egress.connections_not_opened(), 2);
}
