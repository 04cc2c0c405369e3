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
    let (_sandbox, up, cli) = start_deployment("several-values").await.unwrap();
    // A gateway is a server that takes a bearer token.
    let url = up.url("demo");
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
    let token = cli.token("right", &["--gateway", "demo"]).await.unwrap();
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
