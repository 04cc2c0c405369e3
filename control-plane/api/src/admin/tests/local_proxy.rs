//! Tests of the proxy in the process of the control plane: it cannot be deleted, and after a restore it is not named as a
//! proxy to expel.

use toolgate_control_core::Command;
use toolgate_model::{ProxyStatus, Version};

use super::*;

fn record(control_api: &MemoryControlApi, id: &str) {
    let now = control_api.now();
    let status = ProxyStatus {
        id: id.parse().unwrap(),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: now,
        last_seen: now,
        connected: true,
        stream_started: now,
        held: Version::default(),
        acked: Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    };
    control_api.command(Command::RecordProxy(status)).unwrap();
}

fn delete(id: &str, dry_run: bool) -> DeleteProxyRequest {
    DeleteProxyRequest {
        name: format!("proxies/{id}"),
        dry_run,
        ..Default::default()
    }
}

#[tokio::test]
async fn the_proxy_of_the_same_process_is_not_deleted_and_not_named_after_a_restore() {
    let (drain, _trigger) = drain::new();
    let mut control_api = MemoryControlApi::new();
    control_api.local_proxy = Some("local".parse().unwrap());
    control_api.token("acme", "system", AdminRole::Admin, true);
    control_api
        .clock
        .advance(std::time::Duration::from_millis(1));
    // As after a restore.
    control_api.command(Command::BumpEpoch).unwrap();
    for id in ["local", "other"] {
        record(&control_api, id);
    }
    let control_api = Arc::new(control_api);
    let shared: Arc<dyn ControlApi> = control_api.clone();
    let router = router(shared, AdminOptions::default(), drain);

    for dry_run in [true, false] {
        let request = delete("local", dry_run);
        let answer = call(&router, "Proxies/DeleteProxy", Some("system"), &request).await;
        assert_eq!(answer.code, Code::FailedPrecondition);
        let told = answer.status.message();
        for words in ["proxy local is part of the process", "stop `toolgate up`"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    let request = GetStatusRequest::default();
    let answer = call(&router, "Deployment/GetStatus", Some("system"), &request).await;
    let status: DeploymentStatus = answer.read();
    let mut warnings = status.warnings.iter();
    let proxies = warnings.find(|it| it.subject == "proxies").unwrap();
    assert!(proxies.text.contains("other are admitted"), "{proxies:?}");
    assert!(!proxies.text.contains("local"), "{proxies:?}");

    let request = delete("other", false);
    let answer = call(&router, "Proxies/DeleteProxy", Some("system"), &request).await;
    assert_eq!(answer.code, Code::Ok);
    let answer = call(
        &router,
        "Deployment/GetStatus",
        Some("system"),
        &GetStatusRequest::default(),
    )
    .await;
    let status: DeploymentStatus = answer.read();
    assert!(status.warnings.iter().all(|it| it.subject != "proxies"));
}
