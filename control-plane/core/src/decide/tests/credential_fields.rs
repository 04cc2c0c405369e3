//! Tests of the headers, query parameters and hosts that a credential may have.

use toolgate_model::{
    Credential, CredentialHosts, CredentialKind, FieldPlace, SealedField, Server, ServerSource,
};

use crate::{
    Command, Rejection,
    fixture::{StoreFixture, credential, sealed, server},
};

const URL: &str = "https://api.example.com/mcp";

fn of_fields(id: &str, fields: &[(FieldPlace, &str)]) -> Credential {
    let fields = fields.iter().map(|(place, name)| SealedField {
        place: *place,
        name: (*name).to_owned(),
        value: sealed(),
    });
    Credential {
        hosts: CredentialHosts::new(vec!["https://api.example.com".parse().unwrap()]),
        kind: CredentialKind::RequestFields(fields.collect()),
        ..credential("acme", id)
    }
}

fn at(id: &str, url: &str, credential: Option<&str>) -> Server {
    Server {
        source: ServerSource::remote(url.parse().unwrap()),
        ..server("acme", id, credential)
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Rejection>) -> (String, String) {
    let rejection = result.unwrap_err();
    let field = rejection.field().unwrap().to_owned();
    (field, rejection.to_string())
}

#[test]
fn a_credential_sets_headers_that_authenticate_and_none_of_the_connection_or_the_protocol() {
    let mut world = StoreFixture::with(&["acme"]);
    let allowed = [
        "authorization",
        "cookie",
        "proxy-authorization",
        "user-agent",
        "x-api-key",
    ];
    for (at, header) in allowed.iter().enumerate() {
        let fields = [(FieldPlace::Header, *header), (FieldPlace::Query, "host")];
        let given = of_fields(&format!("allowed-{at}"), &fields);
        world.create(given.into()).unwrap();
    }
    for header in [
        "accept",
        "accept-encoding",
        "baggage",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-param-region",
        "mcp-protocol-version",
        "mcp-session-id",
        "proxy-connection",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ] {
        let fields = [(FieldPlace::Header, "x-key"), (FieldPlace::Header, header)];
        let (field, _) = refused(world.create(of_fields("c", &fields).into()));
        assert_eq!(field, "spec.request_fields.headers[1].header", "{header}");
        let mut one = credential("acme", "c");
        one.kind = CredentialKind::StaticHeader {
            header: header.to_owned(),
            value: sealed(),
        };
        let (field, _) = refused(world.create(one.into()));
        assert_eq!(field, "spec.static_header.header", "{header}");
    }
}

#[test]
fn a_query_parameter_is_set_by_the_url_of_a_server_or_by_its_credential_and_not_by_both() {
    let mut world = StoreFixture::with(&["acme"]);
    let with_query = format!("{URL}?tenant=7&API_key=1");
    let key = of_fields("key", &[(FieldPlace::Query, "api_key")]);
    world.create(key.into()).unwrap();
    let (field, reason) = refused(world.create(at("git", &with_query, Some("key")).into()));
    assert_eq!(field, "spec.credential");
    assert!(reason.contains("`api_key`"), "{reason}");

    let tenant = format!("{URL}?tenant=7");
    world
        .create(at("git", &tenant, Some("key")).into())
        .unwrap();
    let update = |world: &StoreFixture, object: crate::OperatorObject| Command::Update {
        expected: world.modified(&object.key()),
        object,
    };
    let moved = update(&world, at("git", &with_query, Some("key")).into());
    assert_eq!(refused(world.run(moved)).0, "spec.credential");
    let fields = [
        (FieldPlace::Query, "api_key"),
        (FieldPlace::Query, "tenant"),
    ];
    let second = update(&world, of_fields("key", &fields).into());
    let (field, reason) = refused(world.run(second));
    assert_eq!(field, "spec.request_fields.query");
    assert!(
        reason.contains("acme/git") && reason.contains("`tenant`"),
        "{reason}"
    );
    let fields = [(FieldPlace::Header, "tenant")];
    let header = update(&world, of_fields("key", &fields).into());
    world.run(header).unwrap();
}

#[test]
fn a_credential_is_not_bound_to_a_wildcard_of_a_public_suffix() {
    let mut world = StoreFixture::with(&["acme"]);
    let bound = |id: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Credential {
            hosts: CredentialHosts::new(hosts),
            ..credential("acme", id)
        }
    };
    for suffix in ["co.uk", "github.io", "com.au", "anything.ck", "nip.io"] {
        let hosts = ["https://co.uk", &format!("https://*.{suffix}:8443")];
        let (field, reason) = refused(world.create(bound("c", &hosts).into()));
        assert_eq!(field, "spec.hosts[1]");
        assert!(reason.contains(&format!("`{suffix}`")), "{reason}");
    }
    let (_, reason) =
        refused(world.create(bound("c", &["https://*.app.10-0-0-1.sslip.io"]).into()));
    assert!(reason.contains("`sslip.io`"), "{reason}");
    let hosts = [
        "https://*.example.co.uk",
        "https://10-0-0-1.sslip.io",
        "https://*.me.github.io",
        "https://me.github.io",
        "https://*.mcp.internal",
        "https://*.svc.cluster.local",
    ];
    world.create(bound("c", &hosts).into()).unwrap();
}
