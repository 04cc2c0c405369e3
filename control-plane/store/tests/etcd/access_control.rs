//! Tests of access to etcd: TLS with client certificates, and users with passwords.

use std::path::Path;

use etcd_client::Client;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use toolgate_control_core::port::{Store as _, StoreError};
use toolgate_store::{EtcdOptions, EtcdStore, EtcdTls};

use crate::cluster::EtcdCluster;

struct PemPair {
    certificate: String,
    key: String,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>) -> PemPair {
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    PemPair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn write_file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority();
    let (server, client) = (issue(&authority), issue(&authority));
    let ca = write_file(folder.path(), "ca.pem", &authority.pem());
    let certificate = write_file(folder.path(), "server.pem", &server.certificate);
    let key = write_file(folder.path(), "server.key", &server.key);
    let doors = [
        "--client-cert-auth",
        "--trusted-ca-file",
        &ca,
        "--cert-file",
        &certificate,
        "--key-file",
        &key,
    ];
    let tls = EtcdTls {
        ca_pem: authority.pem().into_bytes(),
        client_pem: Some((client.certificate.into_bytes(), client.key.into_bytes())),
        server_name: None,
    };
    let options = EtcdOptions {
        tls: Some(tls.clone()),
        ..EtcdOptions::default()
    };
    let cluster = EtcdCluster::start_as("https", options, 1, &doors).await;
    let page = cluster.store("").list("/", None, 1, None).await.unwrap();
    assert!(page.entries.is_empty());

    let nobody = EtcdTls {
        client_pem: None,
        ..tls.clone()
    };
    let stranger = EtcdTls {
        ca_pem: self::authority().pem().into_bytes(),
        ..tls
    };
    for tls in [nobody, stranger] {
        let options = EtcdOptions {
            endpoints: vec![cluster.url(0).to_owned()],
            tls: Some(tls),
            ..EtcdOptions::default()
        };
        let store = EtcdStore::new(options).unwrap();
        let refused = store.list("/", None, 1, None).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_connects_only_with_the_right_password() {
    let cluster = EtcdCluster::start(1, &[]).await;
    let admin = Client::connect([cluster.url(0)], None).await.unwrap();
    let mut auth = admin.auth_client();
    auth.user_add("root", "secret", None).await.unwrap();
    auth.user_grant_role("root", "root").await.unwrap();
    auth.auth_enable().await.unwrap();
    let with = |user: Option<(&str, &str)>| {
        let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let options = EtcdOptions {
            endpoints: vec![cluster.url(0).to_owned()],
            user,
            ..EtcdOptions::default()
        };
        assert!(!format!("{options:?}").contains("secret"));
        EtcdStore::new(options).unwrap()
    };
    let known = with(Some(("root", "secret")));
    let page = known.list("/", None, 1, None).await.unwrap();
    known.watch("/", page.revision + 1).await.map(drop).unwrap();
    for user in [None, Some(("root", "wrong"))] {
        let refused = with(user).list("/", None, 1, None).await;
        assert!(
            matches!(refused, Err(StoreError::InvalidRequest(_))),
            "{refused:?}"
        );
    }
}
