//! Tests of the binding of credentials to hosts, and of the right to use them.

use std::sync::Arc;

use toolgate_model::{
    AdminRole, Credential, CredentialHosts, Endpoint, EndpointList, Server, ServerSource,
};

use crate::{
    CallerIdentity, Change, Command, CommandAuthor, CommandContext, ControlObject, ObjectKey,
    OperatorObject, Rejection, compile,
    compile::ProblemKind,
    decide,
    fixture::{StoreFixture, context, credential, name, server, slug},
};

const INSIDE: &str = "https://api.example.com/mcp";
const OUTSIDE: &str = "https://evil.test/mcp";

fn bound(id: &str, hosts: &[&str]) -> Credential {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Credential {
        hosts: CredentialHosts::new(hosts),
        ..credential("acme", id)
    }
}

fn at(id: &str, urls: &[&str], credential: Option<&str>) -> Server {
    let endpoints = urls.iter().map(|url| Endpoint {
        url: url.parse().unwrap(),
        region: None,
    });
    let endpoints = EndpointList::new(endpoints.collect()).unwrap();
    Server {
        source: ServerSource::Remote { endpoints },
        ..server("acme", id, credential)
    }
}

/// Creates a state with the credential `gh`, bound to one origin, and the server `git`, which refers to it.
fn world() -> StoreFixture {
    let mut world = StoreFixture::with(&["acme"]);
    let key = bound("gh", &["https://api.example.com"]);
    world.create(key.into()).unwrap();
    world
        .create(at("git", &[INSIDE], Some("gh")).into())
        .unwrap();
    world
}

/// Creates a state in which an earlier build has written the credential `old`, without hosts, and the server `old`.
fn earlier_world() -> StoreFixture {
    let mut world = world();
    let key = ObjectKey::Credential(name("acme", "old")).to_string();
    let old = bound("old", &[]);
    world.force(&key, ControlObject::Credential(Arc::new(old)));
    let key = ObjectKey::Server(name("acme", "old")).to_string();
    let server = at("old", &[OUTSIDE], Some("old"));
    world.force(&key, ControlObject::Server(Arc::new(server)));
    world
}

fn role(role: AdminRole) -> CommandContext {
    CommandContext {
        author: CommandAuthor::Caller(CallerIdentity::Token {
            org: slug("acme"),
            role,
            name: slug("someone"),
        }),
        ..context(1)
    }
}

fn update(world: &StoreFixture, object: impl Into<OperatorObject>) -> Command {
    let object = object.into();
    let expected = world.modified(&object.key());
    Command::Update { object, expected }
}

fn refused(result: Result<Change, Rejection>) -> (String, String) {
    let rejection = result.unwrap_err();
    let field = rejection.field().unwrap_or_default().to_owned();
    (field, rejection.to_string())
}

#[test]
fn an_editor_neither_names_a_credential_nor_repoints_a_server_that_has_one() {
    let editor = role(AdminRole::Editor);
    let mut world = world();
    world.create(at("plain", &[INSIDE], None).into()).unwrap();
    let stolen = Command::Create(at("mine", &[INSIDE], Some("gh")).into());
    let named = update(&world, at("plain", &[INSIDE], Some("gh")));
    let moved = update(
        &world,
        at("git", &["https://api.example.com/other"], Some("gh")),
    );
    let added = update(
        &world,
        at("git", &[INSIDE, "https://api.example.com/b"], Some("gh")),
    );
    for command in [stolen, named, moved, added] {
        let (field, reason) = refused(decide(&world.state, &command, &editor));
        assert_eq!(field, "spec.credential", "{command:?}");
        assert!(reason.contains("the right to use credentials"), "{reason}");
        let admin = role(AdminRole::Admin);
        decide(&world.state, &command, &admin).unwrap();
        let elsewhere = CommandContext {
            author: CommandAuthor::Caller(CallerIdentity::Token {
                org: slug("rival"),
                role: AdminRole::Admin,
                name: slug("someone"),
            }),
            ..context(1)
        };
        assert!(decide(&world.state, &command, &elsewhere).is_err());
    }
}

#[test]
fn an_editor_changes_everything_else_of_a_server_that_has_a_credential() {
    let editor = role(AdminRole::Editor);
    let mut world = world();
    let mut described = at("git", &[INSIDE], Some("gh"));
    described.meta.description = "changed".to_owned();
    let command = update(&world, described);
    world.run_as(&command, &editor).unwrap();
    let released = update(&world, at("git", &[INSIDE], None));
    world.run_as(&released, &role(AdminRole::Admin)).unwrap();
    let moved = update(&world, at("git", &[OUTSIDE], None));
    world.run_as(&moved, &editor).unwrap();
}

#[test]
fn an_editor_does_not_remove_a_credential_that_only_an_admin_can_give_back() {
    let mut world = world();
    let released = update(&world, at("git", &[INSIDE], None));
    let moved = update(&world, at("git", &[OUTSIDE], None));
    for command in [&released, &moved] {
        let result = decide(&world.state, command, &role(AdminRole::Editor));
        let (field, reason) = refused(result);
        assert_eq!(field, "spec.credential");
        assert!(
            reason.contains("removing a credential needs the right to use credentials"),
            "{reason}"
        );
    }
    let admin = role(AdminRole::Admin);
    world.run_as(&released, &admin).unwrap();
    let named = update(&world, at("git", &[INSIDE], Some("gh")));
    world.run_as(&named, &admin).unwrap();
}

#[test]
fn a_new_credential_needs_hosts_and_never_loses_them() {
    let mut world = world();
    let (field, reason) = refused(world.create(bound("free", &[]).into()));
    assert_eq!(field, "spec.hosts");
    assert!(
        reason.contains("e.g. `https://api.example.com`"),
        "{reason}"
    );
    let emptied = update(&world, bound("gh", &[]));
    assert_eq!(refused(world.run(emptied)).0, "spec.hosts");
}

#[test]
fn a_server_names_only_a_credential_that_is_bound_to_all_its_endpoints() {
    let mut world = world();
    for urls in [
        &[OUTSIDE][..],
        &[INSIDE, OUTSIDE],
        &["http://api.example.com/mcp"],
        &["https://api.example.com:8443/mcp"],
        &["https://api.example.com.evil.test/mcp"],
    ] {
        let created = world.create(at("other", urls, Some("gh")).into());
        let (field, reason) = refused(created);
        assert_eq!(field, "spec.credential", "{urls:?}");
        assert!(reason.contains("https://api.example.com only"), "{reason}");
        let moved = update(&world, at("git", urls, Some("gh")));
        assert_eq!(refused(world.run(moved)).0, "spec.credential", "{urls:?}");
    }
}

#[test]
fn the_hosts_of_a_credential_stay_around_the_servers_that_refer_to_it() {
    let mut world = world();
    let away = update(&world, bound("gh", &["https://other.example.com"]));
    let (field, reason) = refused(world.run(away));
    assert_eq!(field, "spec.hosts");
    assert!(
        reason.contains("acme/git") && reason.contains(INSIDE),
        "{reason}"
    );
    let wider = update(&world, bound("gh", &["https://*.example.com"]));
    world.run(wider).unwrap();
    let moved = update(
        &world,
        at("git", &["https://b.example.com/mcp"], Some("gh")),
    );
    world.run(moved).unwrap();
}

#[test]
fn a_credential_of_an_earlier_build_serves_its_servers_and_no_others() {
    let mut world = earlier_world();
    let old = name("acme", "old");
    let server = world.state.servers.get(&old).unwrap();
    let compiled = compile::server::compile(&world.state, server).unwrap();
    assert_eq!(compiled.credential.unwrap().id, slug("old"));

    let mut described = at("old", &[OUTSIDE], Some("old"));
    described.meta.description = "changed".to_owned();
    let unrelated = update(&world, described);
    world.run(unrelated).unwrap();
    let mut renewed = bound("old", &[]);
    renewed.meta.display_name = "Renewed".to_owned();
    let renewed = update(&world, renewed);
    world.run(renewed).unwrap();

    for command in [
        Command::Create(at("mine", &[OUTSIDE], Some("old")).into()),
        update(&world, at("git", &[INSIDE], Some("old"))),
        update(&world, at("old", &[INSIDE], Some("old"))),
    ] {
        let (field, reason) = refused(world.run(command));
        assert_eq!(field, "spec.credential");
        assert!(reason.contains("spec.hosts"), "{reason}");
    }

    let elsewhere = update(&world, bound("old", &["https://api.example.com"]));
    assert_eq!(refused(world.run(elsewhere)).0, "spec.hosts");
    let hosts = ["https://evil.test", "https://api.example.com"];
    let set = update(&world, bound("old", &hosts));
    world.run(set).unwrap();
    let moved = update(&world, at("old", &[INSIDE], Some("old")));
    world.run(moved).unwrap();
}

#[test]
fn a_server_outside_the_hosts_of_its_credential_is_not_served() {
    let mut world = world();
    let key = ObjectKey::Server(name("acme", "git")).to_string();
    let forged = Arc::new(at("git", &[INSIDE, OUTSIDE], Some("gh")));
    world.force(&key, ControlObject::Server(Arc::clone(&forged)));
    let problem = compile::server::compile(&world.state, &forged).unwrap_err();
    let ProblemKind::CredentialElsewhere { url, .. } = problem.kind else {
        panic!("{problem}");
    };
    assert_eq!(url, OUTSIDE);
}
