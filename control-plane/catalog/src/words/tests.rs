//! Tests of problem texts: one line, bounded, with advice.

use http::StatusCode;
use toolgate_client::Cut;
use toolgate_egress::EgressError;
use toolgate_mcp::definition::{Refused, Unfit};
use toolgate_model::{EraPolicy, Name, Timeouts, snapshot::CredentialRef};

use super::*;

fn target(credential: bool) -> Target {
    let slug = |text: &str| text.parse::<toolgate_model::Slug>().unwrap();
    Target {
        server: Name::new(slug("acme"), slug("files")),
        url: "https://files.example/mcp".parse().unwrap(),
        credential: credential.then(|| CredentialRef {
            id: slug("key"),
            revision: 1,
        }),
        era: EraPolicy::Probe,
        timeouts: Timeouts::default(),
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
fn each_failure_says_what_to_do() {
    let said = |code, credential| of_failure(&status(code), &target(credential));
    assert_eq!(
        said(401, false),
        "the server answered HTTP 401 Unauthorized; give it a credential"
    );
    assert!(said(403, true).ends_with("check the value of its credential"));
    assert!(said(302, true).contains("redirects are not followed"));
    let header = of_header(
        &HeaderError("it is sealed\nwith another key".to_owned()),
        &target(true),
    );
    assert!(header.starts_with("its credential `key` cannot be used"));
}

#[test]
fn listings_are_reported_in_one_bounded_line() {
    assert_eq!(of_listing(Kind::Tool, &Listing::default(), 0), None);
    let refused = Refused {
        name: "x".repeat(64),
        reason: Unfit::Name,
    };
    let listing = Listing {
        taken: Vec::new(),
        refused: vec![refused; 100],
        hiding: Vec::new(),
        cut: Some(Cut::Failed("no ".repeat(5000))),
    };
    let problem = of_listing(Kind::Prompt, &listing, 3).unwrap();
    assert!(problem.len() <= MOST + 3, "{}", problem.len());
    assert!(problem.contains("and 95 more") && problem.contains("3 of its prompts"));
}

#[test]
fn a_problem_shows_no_address_and_no_word_of_the_server() {
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
            theirs: canary.to_owned(),
        },
    ];
    for error in &errors {
        for said in [
            of_failure(error, &target(false)),
            of_list(Kind::Prompt, error, &target(false)),
        ] {
            assert!(
                !said.contains("10.1.2.3") && !said.contains("canary"),
                "{said}"
            );
            assert!(said.contains("; "), "with what to do: {said}");
        }
    }
    let told: Vec<String> = errors[..2]
        .iter()
        .map(|error| of_failure(error, &target(false)))
        .collect();
    assert_eq!(told[0], told[1], "the difference would map a network");
}

#[test]
fn mc_03_texts_that_hide_something_are_flagged() {
    let hiding = |count: usize| Listing {
        hiding: (0..count).map(|n| format!("t{n}")).collect(),
        ..Listing::default()
    };
    let problem = of_listing(Kind::Tool, &hiding(1), 0).unwrap();
    assert!(
        problem.starts_with("tools hold characters that nobody sees: `t0`;"),
        "{problem}"
    );
    assert!(
        of_listing(Kind::Tool, &hiding(100), 0)
            .unwrap()
            .contains("and 95 more")
    );
}
