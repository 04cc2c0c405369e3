//! Tests of problems in words: one line, bounded, and with what to do.

use http::StatusCode;
use toolgate_client::Cut;
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
    assert_eq!(of_listing(&Listing::default(), 0), None);
    let refused = Refused {
        name: "x".repeat(64),
        reason: Unfit::Name,
    };
    let listing = Listing {
        tools: Vec::new(),
        refused: vec![refused; 100],
        cut: Some(Cut::Failed("no ".repeat(5000))),
    };
    let problem = of_listing(&listing, 3).unwrap();
    assert!(problem.len() <= MOST + 3, "{}", problem.len());
    assert!(problem.contains("and 95 more") && problem.contains("3 of its tools"));
}
