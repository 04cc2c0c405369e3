//! Tests of the credentials that probes present, and of the servers that are probed.

use std::os::unix::fs::PermissionsExt as _;

use toolgate_control_core::{
    ControlObject, ListedObject, ObjectEvent, OperatorObject, StateKind, port::EncryptionContext,
};
use toolgate_model::{
    CredentialHosts, CredentialKind, FieldPlace, ObjectMeta, SealedField, change_log::MAX_CHANGES,
};
use toolgate_vault::KeyEncryptionKeys;

use super::*;
use crate::fixture::{credential, memory, name, ready, server, slug, token};

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

/// State with servers of which the first has a credential.
fn state_of(servers: usize) -> StoreState {
    let mut objects = vec![credential("gh").into_object()];
    objects.extend((0..servers).map(|n| {
        let mut it = server(&format!("server-{n}"));
        it.credential = (n == 0).then(|| slug("gh"));
        it.into_object()
    }));
    let listed = (1..)
        .zip(objects)
        .map(|(mod_revision, object)| ListedObject {
            key: object.own_key().unwrap().to_string(),
            mod_revision,
            object: Some(Ok(object)),
        });
    let listed: Vec<_> = listed.collect();
    let revision = listed.len() as u64;
    StoreState::from_listing(listed, revision)
}

trait IntoObject: StateKind {
    fn into_object(self) -> ControlObject {
        Arc::new(self).to_object()
    }
}

impl<K: StateKind> IntoObject for K {}

fn after_put(state: &StoreState, object: ControlObject) -> StoreState {
    let (mut next, modified) = (state.clone(), state.revision() + 1);
    let key = object.own_key().unwrap().to_string();
    let object = Ok(object);
    next.apply(
        [ObjectEvent::Put {
            key,
            modified,
            object,
        }],
        modified,
    );
    next
}

/// Follows a state with all servers selected, and compares the targets with a derivation from the whole state. Returns the
/// number of targets that are derived again.
fn follow(derivation: &mut TargetDerivation, state: &StoreState) -> usize {
    let all = ProbeSelection {
        all: true,
        requested: BTreeSet::new(),
    };
    let visited = derivation.follow(Arc::new(state.clone()), all.clone());
    let mut whole = TargetDerivation::default();
    whole.follow(Arc::new(state.clone()), all);
    let targets = |it: &TargetDerivation| {
        let targets = it.targets.servers();
        let targets = targets.map(|name| it.targets.get(name).cloned().unwrap());
        targets.collect::<Vec<_>>()
    };
    assert_eq!(targets(derivation), targets(&whole));
    visited
}

#[test]
fn a_write_derives_the_targets_again_that_it_touches_whatever_the_number_of_servers() {
    for servers in [10, 1_000] {
        let mut derivation = TargetDerivation::default();
        let mut state = state_of(servers);
        assert_eq!(follow(&mut derivation, &state), servers);
        let mut moved = server("server-7");
        moved.source = toolgate_model::ServerSource::remote("http://127.0.0.1:8/".parse().unwrap());
        let writes = [
            (moved.into_object(), 1),
            (server("new").into_object(), 1),
            (credential("gh").into_object(), 1),
            (credential("unused").into_object(), 0),
            (token("ci").into_object(), 0),
        ];
        for (object, expected) in writes {
            let key = object.own_key().unwrap();
            state = after_put(&state, object);
            assert_eq!(follow(&mut derivation, &state), expected, "{key}");
        }
        // More changes than the log holds, each seen: the targets are never derived as a whole again.
        for n in 0..MAX_CHANGES + 10 {
            state = after_put(&state, token(&format!("t{}", n % 3)).into_object());
            let all = derivation.selection.clone();
            assert_eq!(derivation.follow(Arc::new(state.clone()), all), 0);
        }
        let requested = ProbeSelection {
            all: false,
            requested: BTreeSet::from([name("new")]),
        };
        derivation.follow(Arc::new(state.clone()), requested);
        assert_eq!(
            derivation.targets.servers().collect::<Vec<_>>(),
            [&name("new")]
        );
        assert_eq!(
            derivation.follow(Arc::new(state), ProbeSelection::default()),
            1
        );
        assert!(derivation.targets.is_empty());
    }
}

#[tokio::test]
async fn a_probe_does_not_present_a_credential_outside_its_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    let place = EncryptionContext::credential_value(&name("gh"));
    let kind = CredentialKind::StaticHeader {
        header: "authorization".to_owned(),
        value: vault.seal_secret(&place, b"Bearer s3cret").unwrap(),
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
            value: vault.seal_secret(&context, value).unwrap(),
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
        value: vault.seal_secret(&context, b"s3cret").unwrap(),
    }]);
    let open = stored(kind, vault).await;
    let refused = open("https://api.example.com/mcp").unwrap_err().to_string();
    assert!(refused.contains("cannot be opened"), "{refused}");
}
