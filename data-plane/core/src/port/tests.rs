//! Tests of upstream sessions: they are shared as the server's policy says, and the number of concurrent rejections is
//! limited.

use super::*;
use crate::fixture::World;

#[test]
fn a_server_that_asks_and_asks_is_answered_so_often_at_a_time() {
    let opened = Opened {
        version: "2025-06-18".into(),
        session: None,
        capabilities: "{}".into(),
        kept: None,
    };
    let link = Arc::new(LinkFacts::new(opened, Timestamp(0)));
    let mut under_way: Vec<Refusing> = (0..100).filter_map(|_| link.refuse()).collect();
    assert_eq!(under_way.len(), REFUSALS);
    under_way.pop();
    under_way.extend(link.refuse());
    assert_eq!(under_way.len(), REFUSALS);
    assert!(link.refuse().is_none());
    under_way.clear();
    assert!(link.refuse().is_some());
}

#[test]
fn links_are_shared_as_the_servers_policy_says() {
    let world = World::new();
    let server = world.view.servers().next().unwrap();
    let principal = |user: &str| {
        Arc::new(Principal {
            org: server.name.org.clone(),
            subject: Subject::User(user.parse().unwrap()),
        })
    };
    let (ada, bob) = (principal("ada"), principal("bob"));
    let key = |sharing, principal: &Arc<Principal>, conversation: Option<u8>| {
        let server = Arc::new(ServerView {
            sharing,
            ..ServerView::clone(server)
        });
        let conversation = conversation.map(|byte| [byte; RANDOM]);
        LinkKey::of(
            &server,
            principal,
            conversation,
            ClientCapabilities::default(),
        )
    };
    for (sharing, principals, sessions) in [
        (Sharing::PerPrincipal, false, true),
        (Sharing::PerSession, false, false),
        (Sharing::Shared, true, true),
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
    // Never shared with another organization, regardless of the policy: its server is a different one.
    let shared = key(Sharing::Shared, &ada, None);
    assert_eq!(shared.principal.org, server.name.org);
}
