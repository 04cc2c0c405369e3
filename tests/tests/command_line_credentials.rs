//! Credentials at the command line: a wrong one is replaced by what the messages say, and a deleted server leaves none
//! behind unsaid.

use anyhow::Result;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::toolgate::{CommandLine, start_deployment, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_replaced_with_the_command_that_the_failed_probe_names() {
    let (_sandbox, _up, cli) = start_deployment("credential-set").await.unwrap();
    // A gateway of another deployment is a server that takes a bearer token.
    let (_servers, server, keys) = start_deployment("credential-server").await.unwrap();
    let url = server.url("demo");
    let token = keys.token("right", &["--gateway", "demo"]).await.unwrap();
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

/// Returns the fields of a credential as `get` shows them in its table.
async fn fields_of(cli: &CommandLine, name: &str) -> Result<String> {
    let shown = cli.run(&["get", "credential", name]).await?;
    let shown = text(&shown.stdout);
    let row = shown.lines().nth(1).unwrap_or_default();
    Ok(row.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_several_fields_is_set_field_by_field_and_keeps_the_others() {
    let (sandbox, _up, cli) = start_deployment("credential-fields").await.unwrap();
    let file = sandbox.join("id");
    std::fs::write(&file, "canary-id\n").unwrap();
    let from_file = format!("X-App-Id=@{}", file.display());
    let mut create = vec!["credential", "set", "crm", "--header", &from_file];
    create.extend(["--header", "X-App-Key", "--query", "api_key"]);
    create.extend(["--host", "https://crm.example.com"]);
    let short = cli.output_of_input(&create, "canary-1").await.unwrap();
    let told = text(&short.stderr);
    assert_eq!(short.status.code(), Some(2), "{told}");
    assert!(told.contains("header X-App-Key") && told.contains("query parameter api_key"));
    let values = "canary-key\ncanary-query\n";
    let done = cli.output_of_input(&create, values).await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let told = text(&done.stdout);
    assert!(
        told.contains("headers x-app-id and x-app-key, query parameter api_key"),
        "{told}"
    );
    assert_eq!(
        fields_of(&cli, "crm").await.unwrap(),
        "x-app-id,x-app-key,?api_key"
    );

    // Without a name it is not known which value is meant.
    let set = ["credential", "set", "crm"];
    let vague = cli.output_of_input(&set, "new").await.unwrap();
    let told = text(&vague.stderr);
    assert_eq!(vague.status.code(), Some(2), "{told}");
    assert!(told.contains("`--header x-app-key`") && told.contains("`--query api_key`"));
    let one = ["credential", "set", "crm", "--header", "X-App-Key"];
    let done = cli.output_of_input(&one, "canary-new").await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(
        fields_of(&cli, "crm").await.unwrap(),
        "x-app-id,x-app-key,?api_key"
    );
    let argument = ["credential", "set", "crm", "--query", "api_key=canary-arg"];
    let (code, told) = cli.fails(&argument).await.unwrap();
    assert_eq!(code, 2);
    assert!(!told.contains("canary"), "{told}");

    let replace = [
        "credential",
        "set",
        "crm",
        "--query",
        "api_key",
        "--replace",
    ];
    let done = cli.output_of_input(&replace, "canary").await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(fields_of(&cli, "crm").await.unwrap(), "?api_key");
    // A single field needs no name.
    let done = cli.output_of_input(&set, "canary-last").await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(fields_of(&cli, "crm").await.unwrap(), "?api_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_several_fields_is_applied_shown_without_values_and_applied_again() {
    const DOCUMENT: &str = "apiVersion: toolgate/v1
kind: Credential
metadata:
  name: crm
spec:
  hosts: ['https://crm.example.com']
  requestFields:
    headers:
      - header: X-App-Id
        value: canary-id
      - header: X-App-Key
        value: canary-key
    query:
      - name: api_key
        value: canary-query
";
    let (sandbox, _up, cli) = start_deployment("credential-document").await.unwrap();
    let file = sandbox.join("crm.yaml");
    let path = file.display().to_string();
    std::fs::write(&file, DOCUMENT).unwrap();
    let apply = ["apply", "-f", &path];
    cli.run(&apply).await.unwrap();
    let differing = cli.output(&["diff", "-f", &path]).await.unwrap();
    let shown = text(&differing.stdout);
    assert_eq!(differing.status.code(), Some(1));
    assert_eq!(shown.matches("(secret").count(), 3, "{shown}");
    let get = ["get", "credential", "crm", "-o", "yaml"];
    let document = text(&cli.run(&get).await.unwrap().stdout);
    let described = cli.run(&["describe", "credential", "crm"]).await.unwrap();
    for shown in [&shown, &document, &text(&described.stdout)] {
        assert!(!shown.contains("canary"), "{shown}");
        assert!(
            shown.contains("x-app-key") && shown.contains("api_key"),
            "{shown}"
        );
    }
    // What is shown is a document that changes nothing.
    std::fs::write(&file, &document).unwrap();
    cli.run(&["diff", "-f", &path]).await.unwrap();
    let applied = cli.run(&apply).await.unwrap();
    assert!(text(&applied.stdout).contains("unchanged"));
    // A value is kept by its name, and a new name needs one.
    std::fs::write(&file, document.replace("name: api_key", "name: key")).unwrap();
    let (_, told) = cli.fails(&apply).await.unwrap();
    assert!(told.contains("requestFields.query[0].value"), "{told}");
    std::fs::write(&file, document.replace("name: api_key", "name: X-APP-KEY")).unwrap();
    cli.fails(&apply).await.unwrap();

    let explained = ["explain", "credential.requestFields.query"];
    let explained = text(&cli.run(&explained).await.unwrap().stdout);
    assert!(
        explained.contains("name") && explained.contains("Appended to the query"),
        "{explained}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_of_a_public_suffix_and_a_parameter_of_the_url_are_refused() {
    let (_sandbox, _up, cli) = start_deployment("credential-refused").await.unwrap();
    let wide = ["credential", "set", "wide", "--host", "https://*.co.uk"];
    let refused = cli.output_of_input(&wide, "canary").await.unwrap();
    let told = text(&refused.stderr);
    assert!(!refused.status.success());
    assert!(told.contains("`co.uk` is a public suffix"), "{told}");
    let twice = [
        "server",
        "add",
        "maps",
        "--url",
        "http://127.0.0.1:1/mcp?API_KEY=1",
        "--query",
        "api_key",
        "--no-wait",
    ];
    let refused = cli.output_of_input(&twice, "canary").await.unwrap();
    let told = text(&refused.stderr);
    assert!(!refused.status.success());
    assert!(told.contains("query parameter `api_key`"), "{told}");
    let (code, _) = cli.fails(&["get", "credential", "maps"]).await.unwrap();
    assert_eq!(code, 3, "the credential is not left behind");
}
