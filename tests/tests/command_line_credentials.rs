//! Credentials at the command line: a wrong one is replaced by what the messages say, and a deleted server leaves none
//! behind unsaid.

use anyhow::Result;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ToolgateUp, text};

async fn start_deployment(name: &str) -> Result<(Sandbox, ToolgateUp, CommandLine)> {
    let sandbox = Sandbox::new(name)?;
    let up = ToolgateUp::start(&sandbox, &[]).await?;
    let cli = up.cli()?;
    Ok((sandbox, up, cli))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_replaced_with_the_command_that_the_failed_probe_names() {
    let (_sandbox, up, cli) = start_deployment("credential-set").await.unwrap();
    // A gateway is a server that takes a bearer token.
    let url = up.url("demo");
    let token = cli.token("right", &["--gateway", "demo"]).await.unwrap();
    let right = format!("Bearer {token}\n");
    let wrong = "Authorization=Bearer wrong";
    let added = cli
        .run(&["server", "add", "git", "--url", &url, "--header", wrong])
        .await
        .unwrap();
    let told = text(&added.stderr);
    assert!(told.contains("`toolgate credential set git`"), "{told}");
    let set = ["credential", "set", "git"];
    let empty = cli.output(&set).await.unwrap();
    assert_eq!(empty.status.code(), Some(2), "{}", text(&empty.stderr));
    let done = cli.output_of_input(&set, &right).await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("server probe git"));
    eventually("the value is accepted", HANG_GUARD, || async {
        cli.run(&["server", "probe", "git"]).await.map(drop)
    })
    .await
    .unwrap();

    // A value that is not among the arguments.
    let add = [
        "server",
        "add",
        "quiet",
        "--url",
        &url,
        "--header",
        "Authorization=-",
    ];
    let added = cli.output_of_input(&add, &right).await.unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    assert!(text(&added.stderr).contains("tools found"));

    // A server that was added without a credential.
    cli.run(&["server", "add", "bare", "--url", &url])
        .await
        .unwrap();
    let (_, told) = cli.fails(&["server", "probe", "bare"]).await.unwrap();
    assert!(told.contains("credential set bare --server bare"), "{told}");
    let set = ["credential", "set", "bare", "--server", "bare"];
    let done = cli.output_of_input(&set, right.trim()).await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    eventually("the value is presented", HANG_GUARD, || async {
        cli.run(&["server", "probe", "bare"]).await.map(drop)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_server_does_not_leave_its_credential_behind_unsaid() {
    let (_sandbox, _up, cli) = start_deployment("credential-orphan").await.unwrap();
    let add = [
        "server",
        "add",
        "git",
        "--url",
        "http://127.0.0.1:1/mcp",
        "--header",
        "X-Key=1",
        "--no-wait",
    ];
    cli.run(&add).await.unwrap();
    let dry = cli
        .run(&["delete", "server", "git", "--dry-run"])
        .await
        .unwrap();
    assert!(text(&dry.stdout).contains("--with-credential"));
    let deleted = cli.run(&["delete", "server", "git"]).await.unwrap();
    let told = text(&deleted.stderr);
    assert!(told.contains("`toolgate delete credential git`"), "{told}");
    cli.run(&["get", "credential", "git"]).await.unwrap();

    let again = cli.run(&add).await.unwrap();
    assert!(text(&again.stderr).contains("credential git"));
    cli.run(&["delete", "server", "git", "--with-credential"])
        .await
        .unwrap();
    let (code, _) = cli.fails(&["get", "credential", "git"]).await.unwrap();
    assert_eq!(code, 3);

    // A credential that another server presents stays.
    cli.run(&add).await.unwrap();
    let taken = cli.output(&add).await.unwrap();
    assert_eq!(taken.status.code(), Some(5), "{}", text(&taken.stderr));
    let other = ["credential", "set", "git", "--server", "demo"];
    let set = cli.output_of_input(&other, "2").await.unwrap();
    assert!(set.status.success(), "{}", text(&set.stderr));
    cli.run(&["delete", "server", "git", "--with-credential"])
        .await
        .unwrap();
    cli.run(&["get", "credential", "git"]).await.unwrap();
}
