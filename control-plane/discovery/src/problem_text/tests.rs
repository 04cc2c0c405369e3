//! Tests of problem texts: one line, bounded, with advice.

use http::StatusCode;
use toolgate_client::ListingTruncation;
use toolgate_egress::EgressError;
use toolgate_mcp::definition::{DefinitionError, RejectedDefinition};
use toolgate_model::{CallTimeouts, ObjectName, snapshot::CredentialRef};

use super::*;

fn target(credential: bool) -> ProbeTarget {
    let slug = |text: &str| text.parse::<toolgate_model::Slug>().unwrap();
    ProbeTarget {
        server: ObjectName::new(slug("acme"), slug("files")),
        endpoints: "https://files.example/mcp".parse().unwrap(),
        credential: credential.then(|| CredentialRef {
            id: slug("key"),
            revision: 1,
            scope: Default::default(),
        }),
        protocol: toolgate_client::ConfiguredProtocol::default(),
        timeouts: CallTimeouts::default(),
    }
}

fn status(code: u16) -> ClientError {
    ClientError::Status(Box::new(StatusProblem {
        status: StatusCode::from_u16(code).unwrap(),
        retry_after: None,
        rpc: None,
    }))
}

#[test]
fn each_failure_text_contains_a_remedy() {
    let said = |code, credential| of_failure(&status(code), &target(credential));
    assert_eq!(
        said(401, false),
        "the server answered HTTP 401 Unauthorized; give it a credential"
    );
    assert!(said(401, true).ends_with("; check the value of its credential"));
    for credential in [false, true] {
        let said = said(403, credential);
        assert!(
            said.ends_with("check what stands between it and us")
                || said.ends_with("and what stands between it and us")
        );
    }
    assert!(said(302, true).contains("redirects are not followed"));
    let header = of_header(
        &HeaderError("it is sealed\nwith another key".to_owned()),
        &target(true),
    );
    assert!(header.starts_with("its credential `key` cannot be used"));
}

#[test]
fn listings_are_reported_in_one_bounded_line() {
    assert_eq!(
        of_listing(DefinitionKind::Tool, &ServerListing::default()),
        None
    );
    let refused = RejectedDefinition {
        name: "x".repeat(64),
        reason: DefinitionError::Name,
    };
    let listing = ServerListing {
        definitions: Vec::new(),
        rejected: vec![refused; 100],
        with_deceptive_text: Vec::new(),
        undeclared: false,
        truncation: Some(ListingTruncation::Failed("no ".repeat(5000))),
        ..ServerListing::default()
    };
    let problem = of_listing(DefinitionKind::Prompt, &listing).unwrap();
    assert!(problem.len() <= MAX_PROBLEM_BYTES + 3, "{}", problem.len());
    assert!(problem.contains("and 95 more") && problem.contains("list of its prompts"));
}

#[test]
fn a_limit_that_cuts_a_list_is_no_problem_of_the_server() {
    for cut in [
        ListingTruncation::Pages(1),
        ListingTruncation::Definitions(1),
        ListingTruncation::Bytes(1),
    ] {
        let listing = ServerListing {
            truncation: Some(cut),
            ..ServerListing::default()
        };
        assert_eq!(of_listing(DefinitionKind::Tool, &listing), None);
    }
}

#[test]
fn a_problem_contains_no_address_and_no_server_text() {
    let canary = "10.1.2.3 canary";
    let io = || std::io::Error::other(canary);
    let host = || "files.example".to_owned();
    let rpc = toolgate_mcp::RpcError::new(-32000, canary);
    let errors = [
        ClientError::Egress(EgressError::Resolve {
            host: host(),
            source: io(),
        }),
        ClientError::Egress(EgressError::Connect {
            host: host(),
            source: io(),
        }),
        ClientError::Egress(EgressError::Tls(canary.to_owned())),
        ClientError::Egress(EgressError::Broken(canary.to_owned())),
        ClientError::Broken(canary.to_owned()),
        ClientError::Rpc(Box::new(rpc.clone())),
        ClientError::Status(Box::new(StatusProblem {
            status: StatusCode::BAD_GATEWAY,
            retry_after: None,
            rpc: Some(rpc),
        })),
        ClientError::NoCommonVersion {
            offered: canary.to_owned(),
        },
    ];
    for error in &errors {
        for said in [
            of_failure(error, &target(false)),
            of_list(DefinitionKind::Prompt, error, &target(false)),
        ] {
            assert!(
                !said.contains("10.1.2.3") && !said.contains("canary"),
                "{said}"
            );
            assert!(said.contains("; "), "with what to do: {said}");
        }
    }
    let timeout = ClientError::Egress(EgressError::ConnectTimeout { host: host() });
    let [unknown, closed, filtered] =
        [&errors[0], &errors[1], &timeout].map(|error| of_failure(error, &target(false)));
    assert_eq!(closed, filtered, "the difference would map a network");
    assert!(unknown.contains("host name has no address"), "{unknown}");
}

#[test]
fn the_certificate_of_an_authority_at_a_server_is_called_that() {
    let error = ClientError::Egress(EgressError::Certificate {
        problem: toolgate_egress::CertificateProblem::CaAsServer,
        detail: "invalid peer certificate: canary".to_owned(),
    });
    let said = of_failure(&error, &target(false));
    assert_eq!(
        said,
        "no secure connection to it could be made: its certificate is that of a certificate authority (CA), which no server may present; give the server a certificate of its own, issued by that authority, and have Toolgate trust the authority"
    );
}

#[test]
fn mc_03_texts_with_hidden_characters_are_flagged() {
    let hiding = |count: usize| ServerListing {
        with_deceptive_text: (0..count).map(|n| format!("t{n}")).collect(),
        ..ServerListing::default()
    };
    let problem = of_listing(DefinitionKind::Tool, &hiding(1)).unwrap();
    assert!(
        problem.contains("invisible or deceive a reader") && problem.contains(": `t0`;"),
        "{problem}"
    );
    assert!(
        of_listing(DefinitionKind::Tool, &hiding(100))
            .unwrap()
            .contains("and 95 more")
    );
}

#[test]
fn mc_03_deceptive_instructions_and_server_names_are_flagged() {
    let facts = |instructions: &str, name: &str| {
        let result = serde_json::json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "serverInfo": {"name": name, "version": "1"}, "instructions": instructions,
        });
        ServerFacts::of_initialize(result.to_string().as_bytes()).unwrap()
    };
    assert_eq!(of_facts(&facts("be kind", "a")), None);
    let hidden = facts("be \u{202e}kind", "a\u{e0041}");
    let problem = of_facts(&hidden).unwrap();
    assert!(
        problem.starts_with("its `serverInfo.name`, `instructions` hold characters"),
        "{problem}"
    );
    assert_eq!(hidden.server_name, "a\\u{e0041}");
}

#[test]
fn mc_06_tools_whose_schemas_refer_elsewhere_are_named() {
    let referring = |count: usize| ServerListing {
        with_unresolved_references: (0..count).map(|n| format!("t{n}")).collect(),
        ..ServerListing::default()
    };
    let problem = of_listing(DefinitionKind::Tool, &referring(2)).unwrap();
    assert!(
        problem.contains("are not fetched") && problem.contains(": `t0`, `t1`;"),
        "{problem}"
    );
    let problem = of_listing(DefinitionKind::Tool, &referring(7)).unwrap();
    assert!(problem.contains("`t4`, and 2 more;"), "{problem}");
}

#[test]
fn definitions_with_members_in_another_case_are_named() {
    let listing = ServerListing {
        with_case_variants: vec!["t0".to_owned(), "t1".to_owned()],
        ..ServerListing::default()
    };
    let problem = of_listing(DefinitionKind::Tool, &listing).unwrap();
    assert!(
        problem.contains("by case only, which are removed: `t0`, `t1`;"),
        "{problem}"
    );
}

#[test]
fn mc_03_definitions_with_hidden_values_and_mc_12_unsafe_icons_are_named() {
    let listing = ServerListing {
        with_deceptive_values: vec!["t0".to_owned()],
        with_unsafe_icons: vec!["t1".to_owned()],
        ..ServerListing::default()
    };
    let problem = of_listing(DefinitionKind::Tool, &listing).unwrap();
    assert!(
        problem.contains("kept because programs compare them: `t0`;"),
        "{problem}"
    );
    assert!(problem.contains("data URLs of bitmaps: `t1`;"), "{problem}");
}
