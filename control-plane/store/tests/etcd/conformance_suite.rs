//! Runs the conformance suite against etcd.

use toolgate_store::conformance::{self, StoreUnderTest};

use crate::cluster::EtcdCluster;

#[tokio::test(flavor = "multi_thread")]
async fn the_etcd_store_passes_the_store_contract() {
    let cluster = EtcdCluster::start(1, &[]).await;
    let fresh =
        async |name: &str| Ok::<_, String>(cluster.store(&format!("/{name}")) as StoreUnderTest);
    conformance::check_all(fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_of_one_cluster_are_isolated() {
    use toolgate_control_core::port::{Store as _, Txn, WriteOp};
    let cluster = EtcdCluster::start(1, &[]).await;
    let (one, two) = (cluster.store("/one"), cluster.store("/one-and-more"));
    for store in [&one, &two] {
        let write = WriteOp::Put {
            key: "/v1/a".to_owned(),
            value: b"x".to_vec(),
            lease: None,
        };
        let guards = Vec::new();
        let writes = vec![write];
        store
            .commit(Txn {
                compares: guards,
                writes,
            })
            .await
            .unwrap();
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
