//! Commands that change single things: labels, documents in an editor, fields of servers, tools of gateways; and those
//! that explain, wait and tell.

use std::{collections::BTreeMap, fs};

use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::toolgate::{refused, shown, start_deployment, text};

#[tokio::test(flavor = "multi_thread")]
async fn single_fields_are_changed_without_a_document() {
    let (sandbox, _up, cli) = start_deployment("changes").await.unwrap();
    shown(&cli, "label server demo team=ops env=test")
        .await
        .unwrap();
    let (code, said) = refused(&cli, "label server demo team=web").await.unwrap();
    assert_eq!((code, said.contains("--overwrite")), (5, true), "{said}");
    shown(&cli, "label server/demo team=web env- --overwrite")
        .await
        .unwrap();
    let server = cli.json(&["get", "server", "demo"]).await.unwrap();
    assert_eq!(
        server["metadata"]["labels"],
        serde_json::json!({ "team": "web" })
    );

    shown(
        &cli,
        "server update demo --description Changed --max-answer 8",
    )
    .await
    .unwrap();
    let server = cli.json(&["get", "server", "demo"]).await.unwrap();
    assert_eq!(server["spec"]["description"], "Changed");
    assert_eq!(server["spec"]["maxAnswerMib"], 8);
    assert_eq!(refused(&cli, "server update demo").await.unwrap().0, 2);

    shown(&cli, "gateway create few --server demo --tools echo")
        .await
        .unwrap();
    shown(&cli, "gateway add-tool few demo/add").await.unwrap();
    let tools = shown(&cli, "get gateway few -o jsonpath={.status.tools[*].name}")
        .await
        .unwrap();
    assert_eq!(tools.trim(), "demo__add demo__echo");
    let (code, said) = refused(&cli, "gateway add-tool few demo/ecko --strict")
        .await
        .unwrap();
    assert_eq!(
        (code, said.contains("did you mean `echo`?")),
        (1, true),
        "{said}"
    );
    shown(&cli, "gateway remove-tool few demo/add")
        .await
        .unwrap();
    let wrong = "gateway create typo --server demo --tools ecko --strict";
    let (code, said) = refused(&cli, wrong).await.unwrap();
    assert_eq!(
        (code, said.contains("did you mean `echo`?")),
        (1, true),
        "{said}"
    );
    assert_eq!(refused(&cli, "get gateway typo").await.unwrap().0, 3);

    let editor = sandbox.join("editor");
    fs::write(
        &editor,
        "sed -i s/description:.*/description:\\ Edited/ \"$1\"\n",
    )
    .unwrap();
    let editor = format!("sh {}", editor.display());
    let edit = ["edit", "server", "demo", "--editor", &editor];
    let edited = text(&cli.run(&edit).await.unwrap().stdout);
    assert!(edited.contains("configured"), "{edited}");
    assert!(text(&cli.run(&edit).await.unwrap().stdout).contains("unchanged"));
    let server = cli.json(&["get", "server", "demo"]).await.unwrap();
    assert_eq!(server["spec"]["description"], "Edited");
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_deletes_what_is_in_no_document() {
    let (sandbox, _up, cli) = start_deployment("prune").await.unwrap();
    let document = |name: &str, team: &str| {
        format!(
            "---\napiVersion: toolgate/v1\nkind: Server\nmetadata: {{name: {name}, labels: {{team: {team}}}}}\n\
             spec: {{url: http://127.0.0.1:1/mcp}}\n"
        )
    };
    let file = sandbox.join("servers.yaml");
    fs::write(
        &file,
        document("a", "ops") + &document("b", "ops") + &document("c", "web"),
    )
    .unwrap();
    let path = file.display().to_string();
    shown(&cli, &format!("apply -f {path}")).await.unwrap();
    fs::write(&file, document("a", "ops")).unwrap();
    let (code, said) = refused(&cli, &format!("apply -f {path} --prune"))
        .await
        .unwrap();
    assert_eq!((code, said.contains("--all")), (2, true), "{said}");
    let dry = shown(
        &cli,
        &format!("apply -f {path} --prune -l team=ops --dry-run=server"),
    )
    .await
    .unwrap();
    assert!(dry.contains("servers/b pruned (dry run)"), "{dry}");
    shown(&cli, &format!("apply -f {path} --prune -l team=ops"))
        .await
        .unwrap();
    let names = shown(&cli, "get servers -o jsonpath={.items[*].metadata.name}")
        .await
        .unwrap();
    let names = names.replace("organizations/default/servers/", "");
    assert_eq!(names.trim(), "a c demo");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_explain_wait_and_tell() {
    let (_sandbox, _up, cli) = start_deployment("tells").await.unwrap();
    let explained = shown(&cli, "explain gateway.prefix").await.unwrap();
    assert!(explained.contains("PREFIX_MODE_NEVER"), "{explained}");
    shown(&cli, "wait server demo --for ready").await.unwrap();
    shown(&cli, "wait gateway nothing --for=delete")
        .await
        .unwrap();
    let (code, said) = refused(&cli, "wait server nothing --timeout 1s")
        .await
        .unwrap();
    assert_eq!((code, said.contains("does not exist")), (1, true), "{said}");
    let identity = cli.json(&["whoami"]).await.unwrap();
    assert_eq!(identity["role"], "system", "{identity}");
    let described = shown(&cli, "tools describe --gateway demo demo__add")
        .await
        .unwrap();
    assert!(
        described.contains("ARGUMENT") && described.contains("Example: "),
        "{described}"
    );
    shown(
        &cli,
        "gateway create many --server demo --listing progressive",
    )
    .await
    .unwrap();
    let described = shown(&cli, "tools describe --gateway many demo__add")
        .await
        .unwrap();
    assert!(
        described.contains("--gateway many demo__add --args"),
        "{described}"
    );
    shown(&cli, "server add dead --url http://127.0.0.1:1/mcp")
        .await
        .unwrap();
    let events = shown(&cli, "events").await.unwrap();
    for words in ["server/dead", "no connection", "create, by "] {
        assert!(events.contains(words), "{words}: {events}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_explained_to_operators() {
    let (_sandbox, _up, cli) = start_deployment("refused-token").await.unwrap();
    shown(&cli, "gateway create other --server demo")
        .await
        .unwrap();
    let token = cli
        .token("elsewhere", &["--gateway", "other"])
        .await
        .unwrap();
    let short = cli
        .token("short", &["--gateway", "demo", "--ttl", "1s"])
        .await
        .unwrap();
    for (token, reason) in [
        (token, "elsewhere is for other, not for demo"),
        (short, "expired at"),
    ] {
        let told = eventually("the reason is told", HANG_GUARD, || async {
            let list = ["tools", "list", "--gateway", "demo", "--token", &token];
            let (code, said) = cli.fails(&list).await?;
            anyhow::ensure!(said.contains(reason), "{code}: {said}");
            Ok(())
        });
        told.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_diffs_agree_about_old_versions_and_faults() {
    let (sandbox, _up, cli) = start_deployment("old-documents").await.unwrap();
    let file = sandbox.join("demo.yaml");
    let path = file.display().to_string();
    let old = shown(&cli, "get gateway demo -o yaml").await.unwrap();
    shown(&cli, "label gateway demo team=ops").await.unwrap();
    fs::write(&file, &old).unwrap();
    let output = cli.output(&["diff", "-f", &path]).await.unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("resourceVersion") && !told.contains("makes them equal"),
        "{told}"
    );
    assert_eq!(
        refused(&cli, &format!("apply -f {path}")).await.unwrap().0,
        5
    );
    // An old document that would change nothing is no conflict for either.
    shown(&cli, "label gateway demo team-").await.unwrap();
    shown(&cli, &format!("diff -f {path}")).await.unwrap();
    let applied = shown(&cli, &format!("apply -f {path}")).await.unwrap();
    assert!(applied.contains("unchanged"), "{applied}");

    let faulty = "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {name: faulty}\nspec:\n  bindings:\n  - allTools: true\n    server: nobody\n";
    fs::write(&file, faulty).unwrap();
    let (_, said) = refused(&cli, &format!("apply -f {path}")).await.unwrap();
    assert!(said.contains("demo.yaml:7:5: Gateway faulty"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_does_not_come_back_through_its_document() {
    let (sandbox, _up, cli) = start_deployment("revoked-document").await.unwrap();
    cli.token("ci", &["--gateway", "demo"]).await.unwrap();
    shown(&cli, "token revoke ci").await.unwrap();
    let file = sandbox.join("token.yaml");
    let path = file.display().to_string();
    fs::write(&file, shown(&cli, "get token ci -o yaml").await.unwrap()).unwrap();
    shown(&cli, &format!("apply -f {path}")).await.unwrap();
    let token = cli.json(&["get", "token", "ci"]).await.unwrap();
    assert_eq!(token["status"]["revoked"], true, "{token}");
    shown(&cli, "delete token ci").await.unwrap();
    let (code, said) = refused(&cli, &format!("apply -f {path}")).await.unwrap();
    assert_eq!((code, said.contains("was revoked")), (5, true), "{said}");
    assert_eq!(refused(&cli, "get token ci").await.unwrap().0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_reports_what_it_made_before_a_fault_with_the_secrets() {
    let (sandbox, _up, cli) = start_deployment("midway").await.unwrap();
    let file = sandbox.join("tokens.yaml");
    let token = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: toolgate/v1\nkind: Token\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        )
    };
    let past = "expireTime: 2020-01-01T00:00:00Z";
    fs::write(
        &file,
        token("fine", "gateways: [demo]") + &token("faulty", past),
    )
    .unwrap();
    let apply = ["apply", "-f", &file.display().to_string(), "-o", "json"];
    let output = cli.output(&apply).await.unwrap();
    assert!(!output.status.success());
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(made[0]["result"], "created", "{made}");
    assert!(made[0]["token"].as_str().unwrap().len() > 20, "{made}");
    let told = text(&output.stderr);
    assert!(told.contains("tokens.yaml:10:8: Token faulty"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_new_tokens_are_shown_in_every_format_although_a_later_document_fails() {
    let (_sandbox, _up, cli) = start_deployment("secrets").await.unwrap();
    for format in ["table", "json", "yaml", "name"] {
        let document = |id: &str, gateways: &str| {
            format!(
                "apiVersion: toolgate/v1\nkind: Token\nmetadata: {{name: {id}}}\nspec: {{organization: true, gateways: [{gateways}]}}\n---\n"
            )
        };
        let first = document(&format!("first-{format}"), "");
        let documents = first + &document(&format!("second-{format}"), "'not a name'");
        let arguments = ["apply", "-f", "-", "-o", format, "--quiet"];
        let applied = cli.output_of_input(&arguments, &documents).await.unwrap();
        assert!(!applied.status.success(), "{format}: {applied:?}");
        let (results, notices) = (text(&applied.stdout), text(&applied.stderr));
        let shown = format!("{results}{notices}");
        assert!(shown.contains("archestra_"), "{format}: {shown}");
        assert!(
            results.contains(&format!("tokens/first-{format}")),
            "{format}: {results}"
        );
        assert!(
            notices.contains(&format!("second-{format}")),
            "{format}: {notices}"
        );
    }
    let created = ["token", "create", "named", "-o", "name", "--quiet"];
    let created = cli.output(&created).await.unwrap();
    assert!(text(&created.stdout).trim().ends_with("/tokens/named"));
    assert!(text(&created.stderr).contains("archestra_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_fails_midway_reports_everything_that_it_made() {
    const DOCUMENTS: usize = 100;
    const FAULTY: usize = 50;
    let (_sandbox, _up, cli) = start_deployment("midway-many").await.unwrap();
    let document = |n: usize| {
        let gateways = if n == FAULTY { "gone" } else { "demo" };
        format!(
            "apiVersion: toolgate/v1\nkind: Token\nmetadata: {{name: many-{n}}}\nspec: {{organization: true, gateways: [{gateways}]}}\n---\n"
        )
    };
    let documents: String = (0..DOCUMENTS).map(document).collect();
    let arguments = ["apply", "-f", "-", "-o", "json", "--quiet"];
    let applied = cli.output_of_input(&arguments, &documents).await.unwrap();
    let notices = text(&applied.stderr);
    assert!(!applied.status.success(), "{notices}");
    assert!(
        notices.contains(&format!("many-{FAULTY}")) && notices.contains("50 documents before it"),
        "{notices}"
    );
    let made: serde_json::Value = serde_json::from_slice(&applied.stdout).unwrap();
    let made: BTreeMap<&str, &str> = made
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["token"].as_str().unwrap()))
        .collect();
    assert!((FAULTY..DOCUMENTS).contains(&made.len()), "{made:?}");
    assert!(made.values().all(|token| token.starts_with("archestra_")));
    let listed = cli.output(&["get", "tokens", "-o", "name"]).await.unwrap();
    let listed = text(&listed.stdout);
    let listed: Vec<&str> = listed
        .lines()
        .filter(|name| name.contains("/many-"))
        .collect();
    assert_eq!(listed.len(), made.len(), "{listed:?}");
    assert!(listed.iter().all(|name| made.contains_key(name)));
}
