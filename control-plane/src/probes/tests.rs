//! Tests of the credentials that probes present.

use std::os::unix::fs::PermissionsExt as _;

use toolgate_control_core::{OperatorObject, port::EncryptionContext};
use toolgate_model::{
    Credential, CredentialHosts, CredentialKind, FieldPlace, ObjectMeta, SealedField,
};
use toolgate_vault::KeyEncryptionKeys;

use super::*;
use crate::fixture::{memory, name, ready};

fn vault(folder: &std::path::Path) -> Arc<EnvelopeSealer> {
    let path = folder.join("key");
    std::fs::write(&path, format!("k1 {}\n", "1".repeat(64))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Arc::new(EnvelopeSealer::new(KeyEncryptionKeys::open(&path).unwrap()))
}

/// Stores the credential `gh` of this kind, which is bound to one origin, and returns what opens it for a URL.
async fn stored(
    kind: CredentialKind,
    vault: Arc<EnvelopeSealer>,
) -> impl Fn(&str) -> Result<PresentedCredential, HeaderError> {
    let plane = ready(memory()).await;
    let object = OperatorObject::Credential(Credential {
        name: name("gh"),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["https://api.example.com".parse().unwrap()]),
        kind,
    });
    plane.create(object).await.unwrap();
    plane
        .shows(|state| state.credentials.get(&name("gh")).is_some())
        .await;
    let headers = CredentialHeaders {
        published: plane.writer.published.clone(),
        vault,
    };
    move |url: &str| {
        let _running = &plane;
        headers.open(&name("gh"), &url.parse().unwrap())
    }
}

#[tokio::test]
async fn a_probe_does_not_present_a_credential_outside_its_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    let place = EncryptionContext::credential_value(&name("gh"));
    let kind = CredentialKind::StaticHeader {
        header: "authorization".to_owned(),
        value: vault.seal(&place, b"Bearer s3cret").unwrap(),
    };
    let open = stored(kind, vault).await;
    let presented = open("https://api.example.com/mcp").unwrap();
    let [(_name, value)] = presented.headers() else {
        panic!("{presented:?}");
    };
    assert_eq!(value.as_bytes(), b"Bearer s3cret");
    let refused = open("https://evil.test/mcp").unwrap_err().to_string();
    assert!(
        refused.contains("https://api.example.com only"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_probe_presents_all_headers_and_query_parameters_of_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    let field = |place, field: &str, value: &[u8]| {
        let context = EncryptionContext::credential_field(&name("gh"), place, field);
        SealedField {
            place,
            name: field.to_owned(),
            value: vault.seal(&context, value).unwrap(),
        }
    };
    let kind = CredentialKind::RequestFields(vec![
        field(FieldPlace::Header, "x-app-id", b"id"),
        field(FieldPlace::Header, "x-app-key", b"s3cret"),
        field(FieldPlace::Query, "api_key", b"s3cret"),
    ]);
    let open = stored(kind, Arc::clone(&vault)).await;
    let presented = open("https://api.example.com/mcp").unwrap();
    let headers = presented.headers().iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(
        headers,
        [("x-app-id", &b"id"[..]), ("x-app-key", &b"s3cret"[..])]
    );
    assert_eq!(
        format!("{presented:?}"),
        r#"["x-app-id", "x-app-key", "api_key"]"#
    );
}

#[tokio::test]
async fn a_value_that_was_moved_to_another_name_is_not_presented() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    let context = EncryptionContext::credential_field(&name("gh"), FieldPlace::Query, "api_key");
    let kind = CredentialKind::RequestFields(vec![SealedField {
        place: FieldPlace::Header,
        name: "api_key".to_owned(),
        value: vault.seal(&context, b"s3cret").unwrap(),
    }]);
    let open = stored(kind, vault).await;
    let refused = open("https://api.example.com/mcp").unwrap_err().to_string();
    assert!(refused.contains("cannot be opened"), "{refused}");
}
