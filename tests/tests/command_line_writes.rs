//! Writes at the command line: a dry run tells what the real run does, a change that another one overtakes is made again,
//! and a command that ends or makes a token tells what the token opens.

use std::fs;

use anyhow::Result;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::toolgate::{CommandLine, refused, start_deployment, text};

/// Runs a command that must succeed; returns its results and its notices.
async fn told(cli: &CommandLine, line: &str) -> Result<(String, String)> {
    let words: Vec<_> = line.split(' ').collect();
    let output = cli.run(&words).await?;
    Ok((text(&output.stdout), text(&output.stderr)))
}

fn server(name: &str) -> String {
    format!(
        "---\napiVersion: toolgate/v1\nkind: Server\nmetadata: {{name: {name}, labels: {{team: ops}}}}\n\
         spec: {{url: http://127.0.0.1:1/mcp}}\n"
    )
}

fn gateway(name: &str, server: &str) -> String {
    format!(
        "---\napiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: {name}, labels: {{team: ops}}}}\n\
         spec: {{bindings: [{{server: {server}, allTools: true}}]}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_of_deletions_tell_what_the_real_ones_do() {
    let (sandbox, _up, cli) = start_deployment("dry-deletions").await.unwrap();
    let file = sandbox.join("all.yaml");
    let path = file.display().to_string();
    let all = server("a") + &server("b") + &gateway("over-a", "a") + &gateway("over-b", "b");
    fs::write(&file, &all).unwrap();
    told(&cli, &format!("apply -f {path}")).await.unwrap();

    // The gateway over-a moves to the server b, and everything else goes.
    let fewer = server("b") + &gateway("over-a", "b");
    fs::write(&file, &fewer).unwrap();
    let prune = format!("apply -f {path} --prune -l team=ops");
    let (dry, _) = told(&cli, &format!("{prune} --dry-run")).await.unwrap();
    let (real, _) = told(&cli, &prune).await.unwrap();
    assert_eq!(dry.replace(" (dry run)", ""), real);
    assert!(real.contains("servers/a pruned") && real.contains("gateways/over-b pruned"));

    let delete = format!("delete -f {path}");
    let (dry, _) = told(&cli, &format!("{delete} --dry-run")).await.unwrap();
    let (real, _) = told(&cli, &delete).await.unwrap();
    assert_eq!(dry.replace("would be deleted", "deleted"), real);
    assert_eq!(real.lines().count(), 2, "{real}");
    // What stays in use is refused by both.
    for line in ["delete server demo --dry-run", "delete server demo"] {
        let (code, said) = refused(&cli, line).await.unwrap();
        assert_eq!((code, said.contains("is used by")), (5, true), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_checked_against_its_server_before_anything_is_written() {
    let (_sandbox, _up, cli) = start_deployment("credential-check").await.unwrap();
    let url = "http://127.0.0.1:1/mcp?api_key=1";
    cli.run(&["server", "add", "maps", "--url", url, "--no-wait"])
        .await
        .unwrap();
    let set = "credential set maps --query api_key --server maps";
    for line in [format!("{set} --dry-run"), set.to_owned()] {
        let words: Vec<_> = line.split(' ').collect();
        let refused = cli.output_of_input(&words, "canary").await.unwrap();
        let said = text(&refused.stderr);
        assert!(!refused.status.success(), "{line}");
        assert!(said.contains("has this query parameter already"), "{said}");
        assert!(
            said.contains("next: `toolgate server update maps"),
            "{said}"
        );
    }
    for line in [
        "credential set maps --server nobody --dry-run",
        "credential set maps --server nobody",
    ] {
        assert_eq!(refused(&cli, line).await.unwrap().0, 3, "{line}");
    }
    assert_eq!(refused(&cli, "get credential maps").await.unwrap().0, 3);
    // A header is fine, and the dry run says which server would present it.
    let set = "credential set maps --header X-Key --server maps";
    let words: Vec<_> = set.split(' ').chain(["--dry-run"]).collect();
    let dry = cli.output_of_input(&words, "canary").await.unwrap();
    let said = text(&dry.stderr);
    assert!(said.contains("the server maps would present it"), "{said}");
    let words: Vec<_> = set.split(' ').collect();
    let done = cli.output_of_input(&words, "canary").await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let server = cli.json(&["get", "server", "maps"]).await.unwrap();
    assert_eq!(server["spec"]["credential"], "maps");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_events_counts_the_changes_that_are_shown() {
    let (_sandbox, _up, cli) = start_deployment("events-limit").await.unwrap();
    told(&cli, "label gateway demo first=1").await.unwrap();
    told(&cli, "label gateway demo second=2").await.unwrap();
    // Each of these makes and deletes a token, which is not shown.
    for _ in 0..4 {
        told(&cli, "tools list --gateway demo").await.unwrap();
    }
    let events = cli.json(&["events", "--limit", "2"]).await.unwrap();
    let changes = events.as_array().unwrap().iter();
    let changes: Vec<_> = changes.filter(|it| it["type"] == "Change").collect();
    assert_eq!(changes.len(), 2, "{events:#}");
    for change in changes {
        assert_eq!(change["object"], "gateway/demo", "{events:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_applies_of_one_object_at_the_same_time_all_succeed() {
    const WRITERS: usize = 10;
    let (sandbox, _up, cli) = start_deployment("ten-applies").await.unwrap();
    let mut applying = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let file = sandbox.join(&format!("server-{writer}.yaml"));
        let described =
            server("shared").replace("spec: {", &format!("spec: {{description: by {writer}, "));
        fs::write(&file, described).unwrap();
        let (cli, path) = (cli.clone(), file.display().to_string());
        applying.spawn(async move {
            let applied = cli.output(&["apply", "-f", &path]).await.unwrap();
            let label = format!("writer-{writer}=yes");
            let labelled = cli
                .output(&["label", "server", "demo", &label])
                .await
                .unwrap();
            [applied, labelled]
        });
    }
    for output in applying.join_all().await.into_iter().flatten() {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let demo = cli.json(&["get", "server", "demo"]).await.unwrap();
    let labels = demo["metadata"]["labels"].as_object().unwrap();
    let made = labels.keys().filter(|key| key.starts_with("writer-"));
    assert_eq!(made.count(), WRITERS, "{labels:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_deleted_gateway_are_told_and_can_be_given_the_new_one() {
    let (_sandbox, up, cli) = start_deployment("lost-tokens").await.unwrap();
    told(&cli, "gateway create tools --server demo")
        .await
        .unwrap();
    let token = cli.token("laptop", &["--gateway", "tools"]).await.unwrap();
    let list = ["tools", "list", "--gateway", "tools", "--token", &token];
    eventually("the token works", HANG_GUARD, || async {
        cli.run(&list).await.map(drop)
    })
    .await
    .unwrap();

    for line in ["delete gateway tools --dry-run", "delete gateway tools"] {
        let (_, said) = told(&cli, line).await.unwrap();
        assert!(said.contains("1 token (laptop)"), "{line}: {said}");
        assert!(said.contains("toolgate token update"), "{line}: {said}");
    }
    let state = |table: &str| table.lines().nth(1).unwrap_or_default().to_owned();
    let (table, _) = told(&cli, "get token laptop").await.unwrap();
    assert!(state(&table).contains("gateway deleted"), "{table}");
    let (_, said) = told(&cli, "gateway create tools --server demo")
        .await
        .unwrap();
    assert!(
        said.contains("1 token (laptop) lists the gateway tools"),
        "{said}"
    );
    let (table, _) = told(&cli, "get token laptop").await.unwrap();
    assert!(state(&table).contains("gateway deleted"), "{table}");
    let (code, said) = cli.fails(&list).await.unwrap();
    assert!(said.contains("was deleted"), "{code}: {said}");

    told(&cli, "token update laptop --gateway tools --dry-run")
        .await
        .unwrap();
    let (done, said) = told(&cli, "token update laptop --add-gateway tools")
        .await
        .unwrap();
    assert!(done.contains("token laptop updated"), "{done}");
    assert!(said.contains("it opens gateway tools"), "{said}");
    let (table, _) = told(&cli, "get token laptop").await.unwrap();
    assert!(state(&table).contains("valid"), "{table}");
    eventually("the token works again", HANG_GUARD, || async {
        cli.run(&list).await.map(drop)
    })
    .await
    .unwrap();
    drop(up);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_opens_and_until_when_is_told() {
    let (_sandbox, _up, cli) = start_deployment("token-scope").await.unwrap();
    let (_, said) = told(&cli, "token create wide").await.unwrap();
    for words in [
        "every gateway of the organization",
        "--no-gateways",
        "does not expire",
        "--ttl 30d",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (_, said) = told(&cli, "token create narrow --gateway demo --expires 12h")
        .await
        .unwrap();
    assert!(
        said.contains("it opens gateway demo") && said.contains("expires at 20"),
        "{said}"
    );
    let (code, said) = refused(&cli, "token create nothing --no-gateways")
        .await
        .unwrap();
    assert_eq!((code, said.contains("--role")), (2, true), "{said}");
    told(&cli, "token create deployer --no-gateways --role editor")
        .await
        .unwrap();
    let (table, _) = told(&cli, "get tokens -o wide").await.unwrap();
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(
        row("wide").contains("all") && row("wide").contains("never"),
        "{table}"
    );
    assert!(row("deployer").contains("none"), "{table}");
    let (described, _) = told(&cli, "describe token deployer").await.unwrap();
    assert!(described.contains("opens: no gateway"), "{described}");
    let long = format!("token create long --ttl {}w", u64::MAX / 1_000_000);
    let (code, said) = refused(&cli, &long).await.unwrap();
    assert_eq!((code, said.contains("--ttl")), (2, true), "{said}");
}
