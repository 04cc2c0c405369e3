//! Tests of the objects of the admin API: conversion in both directions, and rejected messages with the field named.

use proptest::prelude::*;
use toolgate_model::{
    AllowList, BindingSelection, Gateway, IdentityProvider, Organization, ProxyStatus, SealedBlob,
    Server, ServerDefinitions, TokenHash,
};
use toolgate_proto::admin::v1 as pb;

use super::*;
use crate::{InvalidMessage, ProtoConversion, strategies};

proptest! {
    #[test]
    fn every_admin_object_round_trips(
        organization in strategies::organization(),
        gateway in strategies::gateway(),
        server in strategies::server(),
        catalogue in strategies::catalogue(),
        proxy in strategies::proxy(),
        provider in strategies::identity_provider(),
    ) {
        prop_assert_eq!(Organization::from_proto(&organization.to_proto()), Ok(organization));
        prop_assert_eq!(Gateway::from_proto(&gateway.to_proto()), Ok(gateway));
        prop_assert_eq!(Server::from_proto(&server.to_proto()), Ok(server));
        prop_assert_eq!(ServerDefinitions::from_proto(&catalogue.to_proto()), Ok(catalogue));
        prop_assert_eq!(IdentityProvider::from_proto(&provider.to_proto()), Ok(provider));
        prop_assert_eq!(ProxyStatus::from_proto(&proxy.to_proto()), Ok(proxy));
    }

    #[test]
    fn tokens_and_credentials_round_trip_with_their_stored_secrets(
        given in strategies::token(),
        kept in strategies::credential(),
        sealed in strategies::sealed(),
    ) {
        // The uids of its gateways are in the record only.
        let given = toolgate_model::Token { gateway_uids: Default::default(), ..given };
        prop_assert_eq!(token(&token_to_proto(&given), given.hash), Ok(given));
        use toolgate_model::CredentialKind;
        let values: Vec<_> = match kept.kind.clone() {
            CredentialKind::StaticHeader { value, .. } => vec![value],
            CredentialKind::RequestFields(fields) => fields.into_iter().map(|it| it.value).collect(),
        };
        let others = vec![sealed.clone(); values.len()];
        prop_assert_eq!(credential(&credential_to_proto(&kept), values), Ok(kept.clone()));
        let other = credential(&credential_to_proto(&kept), others).unwrap();
        let too_many = vec![sealed; 13];
        prop_assert!(credential(&credential_to_proto(&kept), too_many).is_err());
        prop_assert_eq!(other.name, kept.name);
    }
}

fn server_of(url: &str) -> pb::Server {
    pb::Server {
        status: None,
        metadata: Some(pb::Metadata {
            name: "organizations/acme/servers/git".into(),
            ..Default::default()
        }),
        spec: Some(pb::ServerSpec {
            url: url.into(),
            ..Default::default()
        }),
    }
}

fn gateway_of(binding: pb::Binding) -> pb::Gateway {
    pb::Gateway {
        metadata: Some(pb::Metadata {
            name: "organizations/acme/gateways/tools".into(),
            ..Default::default()
        }),
        spec: Some(pb::GatewaySpec {
            bindings: vec![binding],
            ..Default::default()
        }),
        status: None,
    }
}

#[test]
fn urls_that_are_no_plain_endpoint_are_rejected() {
    for url in [
        "",
        "example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://user:pass@example.com/mcp",
        "https://user@example.com/mcp",
        "https://example.com/mcp#x",
        "https://",
        "http:///mcp",
        "http:\\\\example.com",
        " https://example.com",
        "https://example.com/\n",
    ] {
        let invalid = Server::from_proto(&server_of(url)).unwrap_err();
        assert_eq!(invalid.field(), "spec.url", "{url}");
    }
    let error = Server::from_proto(&server_of("https://user:s3cret@example.com")).unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn a_server_has_either_a_url_or_endpoints() {
    let with = |url: &str, endpoints: &[(&str, &str)]| {
        let mut server = server_of(url);
        let endpoint = |(url, region): &(&str, &str)| pb::Endpoint {
            url: (*url).to_owned(),
            region: (*region).to_owned(),
        };
        if let Some(spec) = &mut server.spec {
            spec.endpoints = endpoints.iter().map(endpoint).collect();
        }
        Server::from_proto(&server)
    };
    let (a, b) = (
        ("https://a.example/mcp", "eu"),
        ("https://b.example/mcp", ""),
    );
    let both = with("https://a.example/mcp", &[a]).unwrap_err();
    assert_eq!(both.field(), "spec.endpoints");
    assert!(
        both.reason().contains("set one of both"),
        "{}",
        both.reason()
    );
    let bad = with("", &[a, ("ftp://b.example", "")]).unwrap_err();
    assert_eq!(bad.field(), "spec.endpoints[1].url");
    let bad = with("", &[("https://b.example", "e\nu")]).unwrap_err();
    assert_eq!(bad.field(), "spec.endpoints[0].region");
    assert_eq!(with("", &[b; 17]).unwrap_err().field(), "spec.endpoints");
    assert_eq!(with("", &[]).unwrap_err().field(), "spec.url");
    let written = with("", &[a, b]).unwrap().to_proto().spec.unwrap();
    assert_eq!((written.url.as_str(), written.endpoints.len()), ("", 2));
    // One endpoint without a region is written in the everyday spelling.
    let written = with("", &[b]).unwrap().to_proto().spec.unwrap();
    assert_eq!((written.url.as_str(), written.endpoints.len()), (b.0, 0));
}

#[test]
fn unknown_enum_values_are_rejected_instead_of_defaulted() {
    let mut server = server_of("https://example.com");
    if let Some(spec) = &mut server.spec {
        spec.era = 99;
    }
    assert_eq!(Server::from_proto(&server).unwrap_err().field(), "spec.era");
}

#[test]
fn a_pinned_version_is_a_supported_one_of_the_era() {
    let parsed = |version: &str, era: pb::EraPolicy| {
        let mut server = server_of("https://example.com/mcp");
        if let Some(spec) = &mut server.spec {
            spec.protocol_version = version.to_owned();
            spec.era = era.into();
        }
        Server::from_proto(&server)
    };
    use pb::EraPolicy::{Legacy, Modern, Unspecified};
    for (version, era) in [
        ("", Unspecified),
        ("2024-11-05", Unspecified),
        ("2025-06-18", Legacy),
        ("2026-07-28", Modern),
    ] {
        let server = parsed(version, era).unwrap();
        let pinned = server.protocol_version.map(|version| version.to_string());
        assert_eq!(pinned.unwrap_or_default(), version);
    }
    for (version, era, reason) in [
        ("2027-01-01", Unspecified, "use 2026-07-28, 2025-11-25"),
        ("2025-06-18", Modern, "is of the legacy era"),
        ("2026-07-28", Legacy, "is of the modern era"),
    ] {
        let invalid = parsed(version, era).unwrap_err();
        assert_eq!(invalid.field(), "spec.protocol_version");
        assert!(invalid.to_string().contains(reason), "{invalid}");
    }
}

#[test]
fn the_response_size_limit_has_a_default_and_a_maximum() {
    let said = |mebibytes| {
        let mut server = server_of("https://example.com");
        if let Some(spec) = &mut server.spec {
            spec.max_answer_mib = mebibytes;
        }
        Server::from_proto(&server).map(|server| server.max_answer.mebibytes())
    };
    for (given, taken) in [(0, 4), (1, 1), (64, 64)] {
        assert_eq!(said(given).unwrap(), taken);
    }
    for given in [65, 256, 260, u32::MAX] {
        assert_eq!(said(given).unwrap_err().field(), "spec.max_answer_mib");
    }
}

#[test]
fn a_violation_names_the_field_inside_its_list() {
    let binding = pb::Binding {
        server: "git".into(),
        tools: vec!["a".into(), String::new()],
        all_tools: false,
        ..Default::default()
    };
    let error = Gateway::from_proto(&gateway_of(binding)).unwrap_err();
    assert_eq!(error.field(), "spec.bindings[0].tools[1]");
    let binding = pb::Binding {
        server: "git".into(),
        tools: vec!["a".into()],
        all_tools: true,
        ..Default::default()
    };
    let error = Gateway::from_proto(&gateway_of(binding)).unwrap_err();
    assert_eq!(error.field(), "spec.bindings[0].tools");
}

#[test]
fn a_binding_without_tools_exposes_nothing() {
    let binding = pb::Binding {
        server: "git".into(),
        ..Default::default()
    };
    let gateway = Gateway::from_proto(&gateway_of(binding)).unwrap();
    assert_eq!(
        gateway.bindings[0].tools,
        BindingSelection::Only(Vec::new())
    );
}

#[test]
fn prompts_and_resources_of_a_binding_default_by_its_tools() {
    let said = |binding| Gateway::from_proto(&gateway_of(binding)).unwrap().bindings[0].clone();
    let all = pb::Binding {
        server: "git".into(),
        all_tools: true,
        ..Default::default()
    };
    let bound = said(all.clone());
    assert_eq!(
        (bound.prompts, bound.resources),
        (BindingSelection::All, true)
    );
    let bound = said(pb::Binding {
        all_prompts: Some(false),
        resources: Some(false),
        ..all
    });
    assert_eq!(
        (bound.prompts, bound.resources),
        (BindingSelection::none(), false)
    );
    let some = pb::Binding {
        server: "git".into(),
        tools: vec!["a".into()],
        ..Default::default()
    };
    let bound = said(some.clone());
    assert_eq!(
        (bound.prompts, bound.resources),
        (BindingSelection::none(), false)
    );
    let bound = said(pb::Binding {
        prompts: vec!["ask".into()],
        ..some
    });
    let asked = BindingSelection::Only(vec!["ask".into()]);
    assert_eq!((bound.prompts, bound.resources), (asked, false));
}

#[test]
fn the_default_relay_policy_allows_only_elicitation() {
    let server = Server::from_proto(&server_of("https://example.com")).unwrap();
    assert_eq!(server.relay, toolgate_model::RelayPolicy::default());
    assert!(server.relay.elicitation && !server.relay.sampling && !server.relay.roots);
}

#[test]
fn a_token_without_scope_belongs_to_its_organization_and_grants_its_lists() {
    let mut message = pb::Token {
        metadata: Some(pb::Metadata {
            name: "organizations/acme/tokens/ci".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let input = TokenInput::from_proto(&message).unwrap();
    assert_eq!(
        (input.gateways, input.role),
        (AllowList::All, toolgate_model::AdminRole::None)
    );
    message.spec = Some(pb::TokenSpec {
        no_gateways: true,
        scope: Some(pb::token_spec::Scope::Organization(false)),
        ..Default::default()
    });
    assert_eq!(
        TokenInput::from_proto(&message).unwrap_err().field(),
        "spec.organization"
    );
}

#[test]
fn a_revoked_token_without_a_revocation_time_stays_revoked() {
    let message = pb::Token {
        metadata: Some(pb::Metadata {
            name: "organizations/acme/tokens/ci".into(),
            ..Default::default()
        }),
        status: Some(pb::TokenStatus {
            revoked: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    let token = token(&message, TokenHash([0; 32])).unwrap();
    assert!(token.revoked.is_some());
}

#[test]
fn a_plain_credential_value_is_accepted_and_never_returned() {
    let mut message = pb::Credential {
        metadata: Some(pb::Metadata {
            name: "organizations/acme/credentials/git".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let error = CredentialInput::from_proto(&message).unwrap_err();
    assert_eq!(error.field(), "spec.static_header");
    message.spec = Some(pb::CredentialSpec {
        description: String::new(),
        hosts: vec!["https://*.Example.com:443".into()],
        kind: Some(pb::credential_spec::Kind::StaticHeader(pb::StaticHeader {
            header: "Authorization".into(),
            value: "Bearer s3cret".into(),
        })),
    });
    let input = CredentialInput::from_proto(&message).unwrap();
    let CredentialFields::StaticHeader(only) = &input.fields else {
        panic!("{input:?}");
    };
    assert_eq!(only.name, "authorization");
    assert!(
        only.value
            .as_ref()
            .is_some_and(|v| v.expose() == b"Bearer s3cret")
    );
    assert!(!format!("{input:?} {message:?}").contains("s3cret"));
    let sealed = SealedBlob {
        key_id: "k".into(),
        wrapped_key: vec![1],
        ciphertext: vec![2],
    };
    let out = credential_to_proto(
        &input
            .with_values(|_, _| Ok::<_, crate::invalid::FieldViolation>(sealed.clone()))
            .unwrap(),
    );
    let Some(pb::credential_spec::Kind::StaticHeader(header)) = out.spec.and_then(|s| s.kind)
    else {
        panic!("another kind");
    };
    assert_eq!(header.value, "");
}

fn credential_of(headers: &[(&str, &str)], query: &[(&str, &str)]) -> pb::Credential {
    let header = |(header, value): &(&str, &str)| pb::StaticHeader {
        header: (*header).into(),
        value: (*value).into(),
    };
    let parameter = |(name, value): &(&str, &str)| pb::QueryParameter {
        name: (*name).into(),
        value: (*value).into(),
    };
    let fields = pb::RequestFields {
        headers: headers.iter().map(header).collect(),
        query: query.iter().map(parameter).collect(),
    };
    pb::Credential {
        metadata: Some(pb::Metadata {
            name: "organizations/acme/credentials/git".into(),
            ..Default::default()
        }),
        spec: Some(pb::CredentialSpec {
            description: String::new(),
            hosts: vec!["https://api.example.com".into()],
            kind: Some(pb::credential_spec::Kind::RequestFields(fields)),
        }),
    }
}

#[test]
fn several_headers_and_query_parameters_are_accepted_and_never_shown() {
    let message = credential_of(
        &[("X-App-Id", "canary-a"), ("X-App-Key", "canary-b")],
        &[("api_key", "canary c&d=e")],
    );
    let input = CredentialInput::from_proto(&message).unwrap();
    assert!(!format!("{input:?} {message:?}").contains("canary"));
}

/// Names and values of fields.
type Pairs<'a> = &'a [(&'a str, &'a str)];

#[test]
fn request_fields_that_are_reserved_repeated_or_too_many_are_refused_without_their_values() {
    let nine: Vec<String> = (0..9).map(|at| format!("x-{at}")).collect();
    let nine: Vec<(&str, &str)> = nine.iter().map(|name| (&**name, "canary")).collect();
    let refused: [(Pairs<'_>, Pairs<'_>, &str); 9] = [
        (&[], &[], "headers"),
        (&nine, &[], "headers"),
        (&[], &nine[..5], "query"),
        (&[("X-Key", "canary"), ("x-key", "canary")], &[], "headers"),
        (&[], &[("k", "canary"), ("k", "canary")], "query"),
        (&[], &[("apiKey", "canary"), ("apikey", "canary")], "query"),
        (&[("Host", "canary")], &[], "headers[0].header"),
        (&[], &[("k\n", "canary")], "query[0].name"),
        (&[], &[("k", "canary\r\n")], "query[0].value"),
    ];
    for (headers, query, field) in refused {
        let error = CredentialInput::from_proto(&credential_of(headers, query)).unwrap_err();
        assert_eq!(error.field(), format!("spec.request_fields.{field}"));
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
