//! Tests of the keys of upstream sessions: sessions are shared as the server's policy says.

use toolgate_model::PrincipalSubject;

use super::*;
use crate::fixture::GatewayFixture;

#[test]
fn upstream_sessions_are_shared_by_the_sharing_policy_of_the_server() {
    let world = GatewayFixture::new();
    let server = world.view.servers().next().unwrap();
    let principal = |user: &str| {
        Arc::new(Principal {
            org: server.name.org.clone(),
            subject: PrincipalSubject::User(user.parse().unwrap()),
        })
    };
    let (ada, bob) = (principal("ada"), principal("bob"));
    let key = |sharing, principal: &Arc<Principal>, conversation: Option<u8>| {
        let server = Arc::new(ServerView {
            sharing,
            ..ServerView::clone(server)
        });
        let conversation = conversation.map(|byte| [byte; RANDOM_LEN]);
        UpstreamSessionKey::new(
            &server,
            principal,
            conversation,
            ClientCapabilities::default(),
        )
    };
    for (sharing, principals, sessions) in [
        (SessionSharing::PerPrincipal, false, true),
        (SessionSharing::PerSession, false, false),
        (SessionSharing::Shared, true, true),
    ] {
        let one = key(sharing, &ada, Some(1));
        assert_eq!(
            one == key(sharing, &bob, Some(1)),
            principals,
            "{sharing:?}"
        );
        assert_eq!(one == key(sharing, &ada, Some(2)), sessions, "{sharing:?}");
        assert!(one == key(sharing, &ada, Some(1)));
    }
    // A personal credential separates the principals of a session that is shared otherwise.
    let personal = Arc::new(ServerView {
        legacy: None,
        sharing: SessionSharing::Shared,
        credential: Some(CredentialRef {
            id: "personal".parse().unwrap(),
            revision: 1,
            scope: CredentialScope::PerPrincipal,
        }),
        ..ServerView::clone(server)
    });
    let of = |principal: &Arc<Principal>| {
        UpstreamSessionKey::new(&personal, principal, None, ClientCapabilities::default())
    };
    assert!(of(&ada) == of(&ada) && of(&ada) != of(&bob));
    // Never shared with another organization, regardless of the policy: its server is a different one.
    let shared = key(SessionSharing::Shared, &ada, None);
    assert_eq!(shared.principal.org, server.name.org);
}

#[test]
fn a_change_feed_has_an_upstream_session_apart_from_calls() {
    let world = GatewayFixture::new();
    let server = world.view.servers().next().unwrap();
    let principal = Arc::new(Principal {
        org: server.name.org.clone(),
        subject: PrincipalSubject::User("ada".parse().unwrap()),
    });
    let key = |sharing, session: Option<u8>| {
        let server = Arc::new(ServerView {
            sharing,
            ..ServerView::clone(server)
        });
        let session = session.map(|byte| [byte; RANDOM_LEN]);
        UpstreamSessionKey::new(&server, &principal, session, ClientCapabilities::default())
    };
    for sharing in [SessionSharing::PerPrincipal, SessionSharing::PerSession] {
        for session in [None, Some(0), Some(1), Some(255)] {
            let feed = key(sharing, session).for_change_feed();
            assert!(feed == key(sharing, session).for_change_feed());
            for calls in [None, Some(0), Some(1), Some(255)] {
                assert!(feed != key(sharing, calls), "{sharing:?}");
            }
        }
    }
    let feed = |session| key(SessionSharing::PerSession, Some(session)).for_change_feed();
    assert!(feed(1) != feed(2), "as the server's policy says");
}
