//! Tests of the URLs of a gateway.

use toolgate_control_core::{ControlObject, ObjectKey, state::ObjectEvent};
use toolgate_model::{ProxyStatus, Version};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn proxy(id: &str, listen: &str, last_seen: Timestamp) -> ObjectEvent {
    let status = ProxyStatus {
        id: id.parse().unwrap(),
        region: String::new(),
        build: String::new(),
        listen: listen.to_owned(),
        started: NOW,
        last_seen,
        connected: true,
        stream_started: NOW,
        held: Version::default(),
        acked: Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    };
    ObjectEvent::Put {
        key: ObjectKey::Proxy(status.id.clone()).to_string(),
        modified: 1,
        object: Ok(ControlObject::Proxy(std::sync::Arc::new(status))),
    }
}

#[test]
fn a_gateway_tells_the_urls_of_the_connected_proxies_each_once() {
    let mut state = StoreState::default();
    let away = Timestamp(NOW.0 - 3_600_000);
    let proxies = [
        proxy("p1", "https://mcp.example:443", NOW),
        proxy("p2", "https://mcp.example:443", NOW),
        proxy("p3", "10.0.0.3:7300", NOW),
        proxy("p4", "https://gone.example", away),
        proxy("p5", "", NOW),
    ];
    state.apply(proxies, 1);
    let id = ObjectName::new("acme".parse().unwrap(), "tools".parse().unwrap());
    assert_eq!(
        urls_of(&id, &state, NOW),
        [
            "http://10.0.0.3:7300/v1/mcp/tools",
            "https://mcp.example:443/v1/mcp/tools"
        ]
    );
}
