//! Tests of the headers that probes present.

use std::os::unix::fs::PermissionsExt as _;

use toolgate_control_core::OperatorObject;
use toolgate_model::{Credential, CredentialHosts, ObjectMeta};
use toolgate_vault::KeyEncryptionKeys;

use super::*;
use crate::fixture::{memory, name, ready};

#[tokio::test]
async fn a_probe_does_not_present_a_credential_outside_its_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, format!("k1 {}\n", "1".repeat(64))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let vault = Arc::new(EnvelopeSealer::new(KeyEncryptionKeys::open(&path).unwrap()));
    let plane = ready(memory()).await;
    let place = EncryptionContext::credential_value(&name("gh"));
    let object = OperatorObject::Credential(Credential {
        name: name("gh"),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["https://api.example.com".parse().unwrap()]),
        kind: CredentialKind::StaticHeader {
            header: "authorization".to_owned(),
            value: vault.seal(&place, b"Bearer s3cret").unwrap(),
        },
    });
    plane.create(object).await.unwrap();
    plane
        .shows(|state| state.credentials.get(&name("gh")).is_some())
        .await;
    let headers = CredentialHeaders {
        published: plane.writer.published.clone(),
        vault,
    };
    let open = |url: &str| headers.open(&name("gh"), &url.parse().unwrap());
    let (_name, value) = open("https://api.example.com/mcp").unwrap();
    assert_eq!(value.as_bytes(), b"Bearer s3cret");
    let refused = open("https://evil.test/mcp").unwrap_err().to_string();
    assert!(
        refused.contains("https://api.example.com only"),
        "{refused}"
    );
}
