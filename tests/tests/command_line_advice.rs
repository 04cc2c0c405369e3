//! Advice of the command line: it fits the cause, names flags and fields as they are typed, and every error has a next step.

use std::fs;

use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, refused, start_deployment, text};

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_flag_names_the_flag_and_one_of_a_document_its_field() {
    let (sandbox, _up, cli) = start_deployment("flag-errors").await.unwrap();
    for (line, named) in [
        ("server add x --url ftp://127.0.0.1/", "error: --url: "),
        (
            "server add Not_An_Id --url http://127.0.0.1:1/mcp",
            "error: NAME: ",
        ),
        (
            "server update demo --url ftp://127.0.0.1/",
            "error: --url: ",
        ),
        (
            "server update demo --credential none",
            "error: --credential: ",
        ),
        ("gateway create g --server nobody", "error: --server: "),
        ("gateway add-tool demo nobody/x", "error: SERVER/TOOL: "),
    ] {
        let (_, said) = refused(&cli, line).await.unwrap();
        assert!(said.starts_with(named), "{line}: {said}");
    }
    let file = sandbox.join("slow.yaml");
    let spec = "spec: {url: 'http://127.0.0.1:1/mcp', timeouts: {first_byte: 7200s}}";
    let document =
        format!("apiVersion: toolgate/v1\nkind: Server\nmetadata: {{name: slow}}\n{spec}\n");
    fs::write(&file, document).unwrap();
    let (_, said) = refused(&cli, &format!("apply -f {}", file.display()))
        .await
        .unwrap();
    assert!(
        said.contains("spec.timeouts.firstByte: use 1 millisecond to 1 hour"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_the_command_to_type_next() {
    let (_sandbox, _up, cli) = start_deployment("next-steps").await.unwrap();
    cli.run(&[
        "gateway", "create", "few", "--server", "demo", "--tools", "echo",
    ])
    .await
    .unwrap();
    for (line, next) in [
        ("undo", "`toolgate apply -f FILE`"),
        ("rollback server demo", "`toolgate versions`"),
        ("rollout undo gateway/demo", "`toolgate apply -f FILE`"),
        ("token rotate ci", "`toolgate token create OTHER"),
        ("gateway update demo", "`toolgate edit gateway NAME`"),
        (
            "server add demo --url http://127.0.0.1:1/mcp",
            "`toolgate server update demo --url http://127.0.0.1:1/mcp`",
        ),
        (
            "gateway remove-tool few demo/ecko",
            "did you mean `demo/echo`?",
        ),
        (
            "gateway remove-tool few demo/add",
            "bound by name: demo/echo",
        ),
        (
            "gateway add-tool few demo__add",
            "next: write tools as SERVER/TOOL",
        ),
        (
            "gateway remove-tool demo demo/add",
            "`toolgate edit gateway demo`",
        ),
        ("wait server", "`toolgate get servers`"),
        ("wait server nobody --timeout 1s", "`toolgate get servers`"),
        ("edit server", "`toolgate edit server NAME`"),
    ] {
        let (_, said) = refused(&cli, line).await.unwrap();
        assert!(said.contains(next), "{line}: {said}");
        assert!(said.contains("next: "), "{line}: {said}");
    }
    let empty = cli
        .run(&["resources", "list", "--gateway", "few"])
        .await
        .unwrap();
    let said = text(&empty.stderr);
    assert!(
        said.contains("next: `toolgate describe gateway few`"),
        "{said}"
    );
    let nobody = cli.clone().with_addr("http://127.0.0.1:1");
    let (_, said) = refused(&nobody, "doctor").await.unwrap();
    assert!(said.contains("thing is broken"), "{said}");
    let (_, said) = refused(&nobody, "get servers").await.unwrap();
    assert!(
        said.contains("that http://127.0.0.1:1 is its address: --addr or TOOLGATE_ADDR"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_of_several_values_is_repaired_by_the_command_that_is_told() {
    let (_sandbox, _up, cli) = start_deployment("several-values").await.unwrap();
    // A gateway of another deployment is a server that takes a bearer token.
    let (_servers, server, keys) = start_deployment("several-values-server").await.unwrap();
    let url = server.url("demo");
    let add = [
        "server",
        "add",
        "git",
        "--url",
        &url,
        "--header",
        "Authorization=Bearer wrong",
        "--header",
        "X-App=1",
    ];
    let added = cli.run(&add).await.unwrap();
    let said = text(&added.stderr);
    let command = "toolgate credential set git --header Authorization --header X-App";
    assert!(said.contains(&format!("`{command}`")), "{said}");
    let (_, said) = cli.fails(&["server", "probe", "git"]).await.unwrap();
    assert!(
        said.to_lowercase().contains(&command.to_lowercase()),
        "{said}"
    );
    let token = keys.token("right", &["--gateway", "demo"]).await.unwrap();
    let words: Vec<_> = command.split(' ').skip(1).collect();
    let values = format!("Bearer {token}\n2\n");
    let done = cli.output_of_input(&words, &values).await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_tells_a_problem_once() {
    let (_sandbox, _up, cli) = start_deployment("described-once").await.unwrap();
    cli.run(&["server", "add", "dead", "--url", "http://127.0.0.1:1/mcp"])
        .await
        .unwrap();
    let described = cli.run(&["describe", "server", "dead"]).await.unwrap();
    let described = text(&described.stdout);
    for once in ["no connection", "probeTime", "problemSinceTime"] {
        assert_eq!(described.matches(once).count(), 1, "{once}: {described}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_the_control_plane_would_refuse_is_refused_at_the_flag() {
    let sandbox = Sandbox::new("region-flag").unwrap();
    let cli = CommandLine::new("http://127.0.0.1:1", "x", sandbox.path());
    for region in ["eu\u{7}west", "eu west", &"x".repeat(64)] {
        for command in [&["proxy"][..], &["proxies", "join-token"]] {
            let mut line = command.to_vec();
            line.extend(["--region", region]);
            let (code, said) = cli.fails(&line).await.unwrap();
            assert_eq!(code, 2, "{line:?}: {said}");
            assert!(
                said.contains("a region has at most 63 characters"),
                "{said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_command_that_settles_it() {
    let (_sandbox, _up, cli) = start_deployment("settled").await.unwrap();
    let add = [
        "server",
        "add",
        "git",
        "--url",
        "http://127.0.0.1:1/mcp",
        "--header",
        "Authorization=Bearer x",
        "--no-wait",
    ];
    cli.run(&add).await.unwrap();
    cli.run(&[
        "gateway", "create", "one", "--server", "demo", "--prefix", "single",
    ])
    .await
    .unwrap();
    for (line, next) in [
        ("delete server demo", "`toolgate edit gateway "),
        (
            "delete credential git",
            "`toolgate server update git --credential ''`",
        ),
        (
            "server update git --url http://127.0.0.1:2/mcp",
            "`toolgate edit credential git` adds `http://127.0.0.1:2`",
        ),
        ("gateway add-tool one git/search", "`--prefix always`"),
        (
            "gateway create two --servr demo",
            "did you mean `--server`?",
        ),
        ("gateway create two", "`toolgate gateway create --help`"),
        (
            "token create fair --gateway demo --expires 2030-12-31",
            "2030-12-31T23:59:00Z",
        ),
        (
            "token create fair --gateway demo --expires 2020-12-31T00:00:00Z",
            "lies in the past",
        ),
    ] {
        let (_, said) = refused(&cli, line).await.unwrap();
        assert!(said.contains(next), "{line}: {said}");
        assert!(
            said.contains("next: ") || line.contains("2020"),
            "{line}: {said}"
        );
    }
    let expires = "2090-12-31T23:59:00+01:00";
    cli.token("fair", &["--gateway", "demo", "--expires", expires])
        .await
        .unwrap();
    let token = cli.json(&["get", "token", "fair"]).await.unwrap();
    assert_eq!(token["spec"]["expireTime"], "2090-12-31T22:59:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_credential_is_made_again_by_the_command_that_is_told() {
    let (sandbox, _up, cli) = start_deployment("exported-credential").await.unwrap();
    let add = [
        "server",
        "add",
        "git",
        "--url",
        "http://127.0.0.1:1/mcp",
        "--header",
        "Authorization=Bearer x",
        "--no-wait",
    ];
    cli.run(&add).await.unwrap();
    let file = sandbox.join("git.yaml");
    let path = file.display().to_string();
    let exported = cli.run(&["get", "credential", "git", "-o", "yaml"]).await;
    fs::write(&file, &exported.unwrap().stdout).unwrap();
    cli.run(&["delete", "server", "git", "--with-credential"])
        .await
        .unwrap();
    for command in ["diff", "apply"] {
        let (_, said) = refused(&cli, &format!("{command} -f {path}"))
            .await
            .unwrap();
        assert!(said.contains("`toolgate credential set git "), "{said}");
        assert!(said.contains("values are never returned"), "{said}");
    }
    let (_, said) = refused(&cli, &format!("apply -f {path}")).await.unwrap();
    let command = said.split("`toolgate ").nth(1).unwrap();
    let command = command.split('`').next().unwrap();
    let words: Vec<_> = command.split(' ').collect();
    let set = cli.output_of_input(&words, "Bearer x").await.unwrap();
    assert!(set.status.success(), "{}", text(&set.stderr));
    let document = fs::read_to_string(&file).unwrap();
    let document = document
        .lines()
        .filter(|line| !line.contains("resourceVersion"));
    fs::write(&file, document.collect::<Vec<_>>().join("\n")).unwrap();
    let applied = cli.run(&["apply", "-f", &path]).await.unwrap();
    assert!(
        text(&applied.stdout).contains("credentials/git configured"),
        "{applied:?}"
    );
    let again = cli.run(&["diff", "-f", &path]).await.unwrap();
    assert_eq!(text(&again.stdout), "", "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_of_a_command_shows_what_it_needs() {
    let sandbox = Sandbox::new("help").unwrap();
    let cli = CommandLine::new("http://127.0.0.1:1", "x", sandbox.path());
    for (command, usage) in [
        ("logs", "Usage: toolgate logs [OPTIONS] <GATEWAY>"),
        (
            "apply",
            "Usage: toolgate apply [OPTIONS] --file <FILE|DIR|->",
        ),
        (
            "token create",
            "Usage: toolgate token create [OPTIONS] <NAME>",
        ),
    ] {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = text(&cli.run(&words).await.unwrap().stdout);
        assert!(help.contains(usage), "{help}");
        assert!(help.contains("Examples:"), "{help}");
    }
    let help = text(&cli.run(&["--help"]).await.unwrap().stdout);
    assert!(help.contains("Begin with `toolgate up`"), "{help}");
}
