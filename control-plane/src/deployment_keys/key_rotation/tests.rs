//! Tests that older keys are not needed after a rotation.

use std::os::unix::fs::PermissionsExt as _;

use toolgate_model::{CredentialHosts, FieldPlace, ObjectMeta, SealedField, TokenHash};
use toolgate_vault::KeyEncryptionKeys;

use super::*;
use crate::{
    deployment_keys::DeploymentKeys,
    fixture::{memory, name, ready, slug},
};

const VALUE: &[u8] = b"Bearer s3cret";

fn ring(folder: &std::path::Path, keys: &[(&str, char)]) -> Arc<EnvelopeSealer> {
    let path = folder.join("key");
    let line = |(id, digit): &(&str, char)| format!("{id} {}\n", digit.to_string().repeat(64));
    std::fs::write(&path, keys.iter().map(line).collect::<String>()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Arc::new(EnvelopeSealer::new(KeyEncryptionKeys::open(&path).unwrap()))
}

/// Returns a credential with a header and a query parameter, both sealed with `keys`.
fn of_several_fields(credential: &toolgate_model::ObjectName, keys: &EnvelopeSealer) -> Credential {
    let fields = [
        (FieldPlace::Header, "x-app-key"),
        (FieldPlace::Query, "api_key"),
    ];
    let sealed = |(place, field): (FieldPlace, &str)| {
        let context = EncryptionContext::credential_field(credential, place, field);
        SealedField {
            place,
            name: field.to_owned(),
            value: keys.seal_secret(&context, VALUE).unwrap(),
        }
    };
    Credential {
        name: credential.clone(),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["http://127.0.0.1:9".parse().unwrap()]),
        kind: CredentialKind::RequestFields(fields.map(sealed).to_vec()),
    }
}

#[tokio::test]
async fn after_a_rotation_all_secrets_open_with_the_new_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ready(memory()).await;
    let old = ring(folder.path(), &[("k1", '1')]);
    let credential = name("gh");
    let place = EncryptionContext::credential_value(&credential);
    let object = OperatorObject::Credential(Credential {
        name: credential.clone(),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["http://127.0.0.1:9".parse().unwrap()]),
        kind: CredentialKind::StaticHeader {
            header: "authorization".to_owned(),
            value: old.seal_secret(&place, VALUE).unwrap(),
        },
    });
    plane.create(object).await.unwrap();
    let several = name("several");
    let object = OperatorObject::Credential(of_several_fields(&several, &old));
    plane.create(object).await.unwrap();
    let key = DeploymentKeys::open_or_create(&plane.writer, &old, "t")
        .await
        .unwrap();
    let hash = |keys: &DeploymentKeys| TokenHash(keys.token_minter.hash("x").0);
    let before = hash(&key);

    assert_eq!(
        run(plane.writer.clone(), Arc::clone(&old)).await.unwrap(),
        0
    );
    let both = ring(folder.path(), &[("k2", '2'), ("k1", '1')]);
    assert_eq!(
        run(plane.writer.clone(), both).await.unwrap(),
        5,
        "three keys of ours, two credentials"
    );

    let new = ring(folder.path(), &[("k2", '2')]);
    plane
        .shows(|state| {
            let stored = state.credentials.get(&credential).unwrap();
            let CredentialKind::StaticHeader { value, .. } = &stored.kind else {
                panic!("one header");
            };
            let ours = state.system_keys.get(&slug("authority")).unwrap();
            let several = state.credentials.get(&several).unwrap();
            let fields = sealed_credential_fields(several);
            !new.needs_reseal(value)
                && !new.needs_reseal(&ours.object)
                && fields.iter().all(|field| !new.needs_reseal(field.value))
        })
        .await;
    let state = plane.writer.current();
    let CredentialKind::StaticHeader { value, .. } =
        &state.credentials.get(&credential).unwrap().kind
    else {
        panic!("one header");
    };
    assert_eq!((*new.open_secret(&place, value).unwrap()).as_ref(), VALUE);
    let stored = state.credentials.get(&several).unwrap();
    for field in sealed_credential_fields(stored) {
        let opened = new.open_secret(&field.context, field.value).unwrap();
        assert_eq!((*opened).as_ref(), VALUE, "{}", field.name);
    }
    let key = DeploymentKeys::open_or_create(&plane.writer, &new, "t")
        .await
        .unwrap();
    assert_eq!(hash(&key), before);
}

#[tokio::test]
async fn a_secret_that_does_not_open_is_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ready(memory()).await;
    let lost = ring(folder.path(), &[("k1", '1')]);
    DeploymentKeys::open_or_create(&plane.writer, &lost, "t")
        .await
        .unwrap();
    let other = ring(folder.path(), &[("k2", '2')]);
    assert_eq!(run(plane.writer.clone(), other).await.unwrap(), 0);
    DeploymentKeys::open_or_create(&plane.writer, &lost, "t")
        .await
        .unwrap();
}
