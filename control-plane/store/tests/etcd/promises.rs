//! Runs the conformance suite against etcd.

use toolgate_store::conformance::{self, Subject};

use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn etcd_keeps_every_promise() {
    let cluster = Cluster::start(1, &[]).await;
    let fresh = async |name: &str| Ok::<_, String>(cluster.store(&format!("/{name}")) as Subject);
    conformance::check_all(fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_of_one_cluster_do_not_see_each_other() {
    use toolgate_control_core::port::{Store as _, Txn, Write};
    let cluster = Cluster::start(1, &[]).await;
    let (one, two) = (cluster.store("/one"), cluster.store("/one-and-more"));
    for store in [&one, &two] {
        let write = Write::Put {
            key: "/v1/a".to_owned(),
            value: b"x".to_vec(),
            lease: None,
        };
        let guards = Vec::new();
        let writes = vec![write];
        store.commit(Txn { guards, writes }).await.unwrap();
    }
    for store in [&one, &two] {
        let page = store.list("/", None, 10, None).await.unwrap();
        let keys: Vec<&str> = page
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        assert_eq!(keys, ["/v1/a"]);
    }
}
