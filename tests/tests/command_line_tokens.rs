//! Tokens at the command line: what is told about a limited token, and what becomes of revoked tokens, of the token that a
//! command uses, and of the tokens that commands make for themselves.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::process::signal;
use toolgate_tests::toolgate::{CommandLine, refused, shown, start_deployment, text};

/// Returns the ids of the tokens of single commands.
async fn temporary_tokens(cli: &CommandLine) -> Result<Vec<String>> {
    let names = shown(cli, "get tokens -o name").await?;
    let ids = names.lines().filter_map(|name| name.rsplit('/').next());
    let ids = ids.filter(|id| id.starts_with("cli-"));
    Ok(ids.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_token_is_named_where_it_hides_something() {
    let (_sandbox, _up, cli) = start_deployment("limited-token").await.unwrap();
    let flags = ["--gateway", "demo", "--tool", "demo__echo"];
    let token = cli.token("few", &flags).await.unwrap();
    let flags = ["--gateway", "demo", "--tool", "demo__gone"];
    let nothing = cli.token("nothing", &flags).await.unwrap();
    eventually("the tokens are known", HANG_GUARD, || async {
        for token in [&token, &nothing] {
            shown(&cli, &format!("tools list --gateway demo --token {token}")).await?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let limit = "the token few is limited to the tool demo__echo";
    for line in [
        "tools call --gateway demo demo__add",
        "tools describe --gateway demo demo__add",
        "prompts get --gateway demo demo__none",
        "resources read --gateway demo demo+file:///none",
    ] {
        let (code, said) = refused(&cli, &format!("{line} --token {token}"))
            .await
            .unwrap();
        assert_eq!(code, 3, "{line}: {said}");
        assert!(said.contains(limit), "{line}: {said}");
        assert!(said.contains("next: `toolgate "), "{line}: {said}");
        // Without the right to read tokens, the limit is a possibility.
        let (_, said) = cli
            .clone()
            .with_token("archestra_none")
            .fails(
                &format!("{line} --token {token}")
                    .split(' ')
                    .collect::<Vec<_>>(),
            )
            .await
            .unwrap();
        assert!(said.contains("the token may be limited"), "{line}: {said}");
    }
    for (line, says) in [
        (
            format!("prompts list --gateway demo --token {token}"),
            limit,
        ),
        (
            format!("resources list --gateway demo --token {token}"),
            limit,
        ),
        (
            format!("tools list --gateway demo --token {nothing}"),
            "the token nothing is limited to the tool demo__gone: the gateway offers none of them",
        ),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let told = text(&cli.run(&words).await.unwrap().stderr);
        assert!(told.contains(says), "{line}: {told}");
        assert_eq!(told.matches("next: ").count(), 1, "{line}: {told}");
    }
    // A token that is not limited is not blamed.
    let (_, said) = refused(&cli, "tools call --gateway demo demo__ad")
        .await
        .unwrap();
    assert!(said.contains("did you mean `demo__add`?"), "{said}");
    assert!(!said.contains("limited"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_and_apply_agree_about_tokens_that_have_ended() {
    let (sandbox, _up, cli) = start_deployment("ended-tokens").await.unwrap();
    let file = sandbox.join("tokens.yaml");
    let path = file.display().to_string();
    cli.token("ci", &["--gateway", "demo"]).await.unwrap();
    let valid = shown(&cli, "get token ci -o yaml").await.unwrap();
    shown(&cli, "token revoke ci").await.unwrap();
    let revoked = shown(&cli, "get token ci -o yaml").await.unwrap();
    // A document that was made before the revocation does not take it back, and both commands say so.
    fs::write(&file, &valid).unwrap();
    for command in ["diff", "apply"] {
        let done = cli.run(&[command, "-f", &path]).await.unwrap();
        let told = text(&done.stderr);
        assert!(
            told.contains("the token ci was revoked and stays so"),
            "{command}: {told}"
        );
    }
    fs::write(&file, &revoked).unwrap();
    for command in ["diff", "apply"] {
        let done = cli.run(&[command, "-f", &path]).await.unwrap();
        let told = text(&done.stderr);
        assert!(!told.contains("revoked"), "{command}: {told}");
    }
    // What apply refuses, diff does not offer to apply.
    shown(&cli, "delete token ci").await.unwrap();
    let (code, said) = refused(&cli, &format!("diff -f {path}")).await.unwrap();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("apply refuses it: "), "{said}");
    assert!(said.contains("was revoked"), "{said}");
    assert!(!said.contains("makes them equal"), "{said}");
    let (code, said) = refused(&cli, &format!("apply -f {path}")).await.unwrap();
    assert_eq!((code, said.contains("was revoked")), (5, true), "{said}");
    // The stored token has expired since its document was exported.
    cli.token("short", &["--gateway", "demo", "--ttl", "1s"])
        .await
        .unwrap();
    fs::write(&file, shown(&cli, "get token short -o yaml").await.unwrap()).unwrap();
    eventually("the token expires", HANG_GUARD, || async {
        let state = shown(&cli, "get token short").await?;
        ensure!(state.contains("expired"), "{state}");
        Ok(())
    })
    .await
    .unwrap();
    shown(&cli, &format!("diff -f {path}")).await.unwrap();
    let applied = shown(&cli, &format!("apply -f {path}")).await.unwrap();
    assert!(applied.contains("unchanged"), "{applied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_keeps_the_token_that_it_uses() {
    let (sandbox, _up, cli) = start_deployment("own-token").await.unwrap();
    let own = cli
        .token("deployer", &["--no-gateways", "--role", "admin"])
        .await
        .unwrap();
    cli.token("other", &["--gateway", "demo"]).await.unwrap();
    let file = sandbox.join("kept.yaml");
    let path = file.display().to_string();
    let document =
        "apiVersion: toolgate/v1\nkind: Token\nmetadata: {name: kept}\nspec: {gateways: [demo]}\n";
    fs::write(&file, document).unwrap();
    let deployer = cli.clone().with_token(&own);
    let prune = ["apply", "-f", &path, "--prune", "--all"];
    for flags in [&["--dry-run"][..], &[]] {
        let done = deployer.run(&[&prune[..], flags].concat()).await.unwrap();
        let told = text(&done.stderr);
        assert!(
            told.contains("tokens/deployer stays: this command uses it"),
            "{flags:?}: {told}"
        );
        assert!(
            text(&done.stdout).contains("tokens/other pruned"),
            "{flags:?}"
        );
    }
    let left = shown(&deployer, "get tokens -o name").await.unwrap();
    assert!(
        left.contains("tokens/deployer") && !left.contains("tokens/other"),
        "{left}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_token_of_the_command_with_it() {
    let (_sandbox, _up, cli) = start_deployment("signals").await.unwrap();
    let slow = [
        "tools",
        "call",
        "--gateway",
        "demo",
        "demo__slow",
        "--args",
        "{\"steps\":100,\"delayMs\":1000}",
    ];
    for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mut command = cli.command(&slow).unwrap();
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = process.stderr.take().context("no standard error").unwrap();
        let mut lines = BufReader::new(stderr).lines();
        let progress = tokio::time::timeout(HANG_GUARD, lines.next_line()).await;
        let progress = progress.unwrap().unwrap().unwrap();
        assert!(progress.starts_with("progress "), "{progress}");
        let made = temporary_tokens(&cli).await.unwrap();
        assert_eq!(made.len(), 1, "{name}: {made:?}");
        let token = cli.json(&["get", "token", &made[0]]).await.unwrap();
        assert!(token["spec"]["expireTime"].is_string(), "{token}");
        signal(process.id().unwrap(), name).unwrap();
        let ended = tokio::time::timeout(HANG_GUARD, process.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(code), "{name}");
        let left = temporary_tokens(&cli).await.unwrap();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dry_run_writes_nothing() {
    let (sandbox, _up, cli) = start_deployment("dry-runs").await.unwrap();
    cli.token("ci", &["--gateway", "demo"]).await.unwrap();
    let before = shown(&cli, "get tokens -o name").await.unwrap();
    let told = shown(&cli, "token revoke ci --dry-run").await.unwrap();
    assert!(
        told.contains("tokens/ci would be revoked (dry run)"),
        "{told}"
    );
    assert_eq!(
        refused(&cli, "token revoke none --dry-run")
            .await
            .unwrap()
            .0,
        3
    );
    let token = cli.json(&["get", "token", "ci"]).await.unwrap();
    assert_ne!(token["status"]["revoked"], true, "{token}");

    let editor = sandbox.join("editor.sh");
    fs::write(
        &editor,
        "sed -i 's/description: .*/description: Edited/' \"$1\"\n",
    )
    .unwrap();
    shown(&cli, "server update demo --description Plain")
        .await
        .unwrap();
    let editor = format!("sh {}", editor.display());
    let edited = cli
        .run(&["edit", "server", "demo", "--dry-run", "--editor", &editor])
        .await
        .unwrap();
    assert!(
        text(&edited.stdout).contains("configured (dry run)"),
        "{edited:?}"
    );
    let told = text(&edited.stderr);
    let server = cli.json(&["get", "server", "demo"]).await.unwrap();
    assert_eq!(server["spec"]["description"], "Plain", "{server}");
    let file = told.split("`toolgate apply -f ").nth(1).unwrap();
    let file = file.split('`').next().unwrap();
    let applied = shown(&cli, &format!("apply -f {file}")).await.unwrap();
    assert!(applied.contains("configured"), "{applied}");
    fs::remove_file(file).unwrap();

    let connect = ["connect", "claude-code", "--gateway", "demo"];
    let file = sandbox.join(".claude.json");
    let run = async |flags: &[&str]| cli.run(&[&connect[..], flags].concat()).await;
    let told = run(&["--write", "--dry-run"]).await.unwrap();
    assert!(
        text(&told.stdout).contains("would be written (dry run)"),
        "{told:?}"
    );
    assert!(!file.exists());
    assert_eq!(shown(&cli, "get tokens -o name").await.unwrap(), before);
    run(&["--write"]).await.unwrap();
    let written = fs::read_to_string(&file).unwrap();
    for flags in [["--write", "--dry-run"], ["--undo", "--dry-run"]] {
        let told = run(&flags).await.unwrap();
        assert!(text(&told.stderr).contains("would be revoked"), "{told:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), written);
    }
}
