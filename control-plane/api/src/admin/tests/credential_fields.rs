//! Tests of credentials with several headers and query parameters: each value is sealed, kept by its name, and never
//! returned.

use toolgate_control_core::port::{SecretSealer as _, sealed_credential_fields};
use toolgate_model::FieldPlace;

use super::*;

fn header((header, value): &(&str, &str)) -> StaticHeader {
    StaticHeader {
        header: (*header).into(),
        value: (*value).into(),
    }
}

fn several(headers: &[(&str, &str)], query: &[(&str, &str)]) -> credential_spec::Kind {
    let parameter = |(name, value): &(&str, &str)| QueryParameter {
        name: (*name).into(),
        value: (*value).into(),
    };
    credential_spec::Kind::RequestFields(RequestFields {
        headers: headers.iter().map(header).collect(),
        query: query.iter().map(parameter).collect(),
    })
}

fn spec(kind: credential_spec::Kind) -> Option<CredentialSpec> {
    Some(CredentialSpec {
        description: String::new(),
        hosts: vec!["https://git.example.com".into()],
        kind: Some(kind),
    })
}

async fn create(router: &Router, kind: credential_spec::Kind) -> memory::CallResponse {
    let request = CreateCredentialRequest {
        parent: "organizations/acme".into(),
        credential_id: "git".into(),
        credential: Some(pb::Credential {
            spec: spec(kind),
            ..Default::default()
        }),
        ..Default::default()
    };
    call(
        router,
        "Credentials/CreateCredential",
        Some("admin"),
        &request,
    )
    .await
}

/// Writes this kind to the credential in its current version.
async fn update(router: &Router, kind: credential_spec::Kind) -> memory::CallResponse {
    let get = GetCredentialRequest {
        name: "organizations/acme/credentials/git".into(),
    };
    let read = call(router, "Credentials/GetCredential", Some("admin"), &get).await;
    let request = UpdateCredentialRequest {
        credential: Some(pb::Credential {
            metadata: read.read::<pb::Credential>().metadata,
            spec: spec(kind),
        }),
        ..Default::default()
    };
    call(
        router,
        "Credentials/UpdateCredential",
        Some("admin"),
        &request,
    )
    .await
}

/// Returns the names and values that the stored credential opens to.
fn opened(control_api: &MemoryControlApi) -> Vec<(FieldPlace, String, String)> {
    let state = Arc::clone(&control_api.published().state);
    let (_, stored) = state.credentials.iter().next().unwrap();
    let fields = sealed_credential_fields(stored).into_iter();
    let opened = fields.map(|field| {
        let value = control_api
            .open_secret(&field.context, field.value)
            .unwrap();
        let value = String::from_utf8((*value).as_ref().to_vec()).unwrap();
        (field.place, field.name.to_owned(), value)
    });
    opened.collect()
}

fn expected(fields: &[(FieldPlace, &str, &str)]) -> Vec<(FieldPlace, String, String)> {
    let fields = fields.iter();
    fields
        .map(|(place, name, value)| (*place, (*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn each_value_of_a_credential_is_sealed_kept_by_its_name_and_never_returned() {
    use FieldPlace::{Header, Query};
    let (router, control_api, _trigger) = start();
    let headers = [("X-App-Id", "s3cret-id"), ("X-App-Key", "s3cret-key")];
    let made = create(&router, several(&headers, &[("api_key", "s3cret-query")])).await;
    assert_eq!(made.code, Code::Ok, "{:?}", made.status);
    assert_eq!(
        opened(&control_api),
        expected(&[
            (Header, "x-app-id", "s3cret-id"),
            (Header, "x-app-key", "s3cret-key"),
            (Query, "api_key", "s3cret-query"),
        ])
    );

    // One value is replaced, two are kept in another order, and one is removed.
    let headers = [("x-app-key", ""), ("x-region", "s3cret-region")];
    let updated = update(&router, several(&headers, &[("api_key", "")])).await;
    assert_eq!(updated.code, Code::Ok, "{:?}", updated.status);
    assert_eq!(
        opened(&control_api),
        expected(&[
            (Header, "x-app-key", "s3cret-key"),
            (Header, "x-region", "s3cret-region"),
            (Query, "api_key", "s3cret-query"),
        ])
    );
    let list = ListCredentialsRequest {
        parent: "organizations/acme".into(),
        ..Default::default()
    };
    let listed = call(
        &router,
        "Credentials/ListCredentials",
        Some("viewer"),
        &list,
    )
    .await;
    for answer in [&made, &updated, &listed] {
        assert!(!String::from_utf8_lossy(&answer.raw).contains("s3cret"));
    }
}

#[tokio::test]
async fn a_name_without_a_stored_value_needs_one() {
    let (router, control_api, _trigger) = start();
    let field = |answer: &memory::CallResponse| {
        assert_eq!(answer.code, Code::InvalidArgument);
        let message = answer.status.message();
        message.split(": ").next().unwrap_or_default().to_owned()
    };
    let none = create(&router, several(&[("x-a", "1"), ("x-b", "")], &[])).await;
    assert_eq!(field(&none), "spec.request_fields.headers[1].value");
    create(&router, several(&[("api_key", "s3cret")], &[])).await;
    // The value of a header is not the value of a query parameter of the same name.
    let moved = update(&router, several(&[], &[("api_key", "")])).await;
    assert_eq!(field(&moved), "spec.request_fields.query[0].value");
    assert_eq!(
        opened(&control_api),
        expected(&[(FieldPlace::Header, "api_key", "s3cret")])
    );
}

#[tokio::test]
async fn a_credential_of_one_header_becomes_one_of_several_and_back_and_keeps_its_value() {
    use FieldPlace::Header;
    let (router, control_api, _trigger) = start();
    let one = credential_spec::Kind::StaticHeader(header(&("Authorization", "Bearer s3cret")));
    assert_eq!(create(&router, one).await.code, Code::Ok);
    let headers = [("authorization", ""), ("x-tenant", "7")];
    let updated = update(&router, several(&headers, &[])).await;
    assert_eq!(updated.code, Code::Ok, "{:?}", updated.status);
    assert_eq!(
        opened(&control_api),
        expected(&[
            (Header, "authorization", "Bearer s3cret"),
            (Header, "x-tenant", "7")
        ])
    );
    // A value is not kept under another name, unless the credential is one header before and after.
    let other = credential_spec::Kind::StaticHeader(header(&("x-key", "")));
    assert_eq!(update(&router, other).await.code, Code::InvalidArgument);
    let back = credential_spec::Kind::StaticHeader(header(&("authorization", "")));
    let updated = update(&router, back).await;
    assert_eq!(updated.code, Code::Ok, "{:?}", updated.status);
    let renamed = credential_spec::Kind::StaticHeader(header(&("x-key", "")));
    assert_eq!(update(&router, renamed).await.code, Code::Ok);
    assert_eq!(
        opened(&control_api),
        expected(&[(Header, "x-key", "Bearer s3cret")])
    );
}
