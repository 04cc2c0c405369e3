//! No secret is the same in two deployments, and the binary holds none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use toolgate_tests::external_programs;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Length from which a word is taken for a secret: 18 random bytes in base64.
const WORD: usize = 24;

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        match entry?.path() {
            path if path.is_dir() => found.extend(files(&path)?),
            path => found.push(path),
        }
    }
    Ok(found)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/_-".contains(&byte)
}

/// Long words of letters and digits together: tokens, keys in hex, lines of PEM.
fn words(bytes: &[u8]) -> BTreeSet<String> {
    let words = bytes.split(|byte| !is_word_byte(*byte));
    let long = words.filter(|word| {
        word.len() >= WORD
            && word.iter().any(u8::is_ascii_digit)
            && word.iter().any(u8::is_ascii_alphabetic)
    });
    long.map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Long words of all text files of a data folder.
fn secrets(folder: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for path in files(folder)? {
        let bytes = fs::read(&path)?;
        if std::str::from_utf8(&bytes).is_ok() {
            found.extend(words(&bytes));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn ti_11_no_two_deployments_share_a_secret_and_the_binary_holds_none() {
    let binary = fs::read(external_programs::toolgate().unwrap()).unwrap();
    let mut deployments = Vec::new();
    for name in ["first", "second"] {
        let sandbox = Sandbox::new(name).unwrap();
        let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
        let found = secrets(up.data()).unwrap();
        for file in ["admin-token", "demo-token", "key"] {
            let text = fs::read(up.data().join(file)).unwrap();
            assert!(!words(&text).is_empty(), "{file} has a secret");
            assert!(words(&text).is_subset(&found), "{file}");
        }
        deployments.push(found);
    }
    let shared: Vec<_> = deployments[0].intersection(&deployments[1]).collect();
    assert!(shared.is_empty(), "{shared:#?}");
    for secret in deployments.iter().flatten() {
        let found = memchr::memmem::find(&binary, secret.as_bytes());
        assert!(found.is_none(), "the binary holds {secret}");
    }
}

/// Texts that a built-in secret would follow, and the length of a word behind them that is none of an example.
#[test]
fn ti_11_no_token_or_private_key_is_built_into_the_binary() {
    let binary = fs::read(external_programs::toolgate().unwrap()).unwrap();
    let mut seen = 0;
    for opening in [
        "archestra_",
        "Bearer ",
        "PRIVATE KEY-----\n",
        "PRIVATE KEY-----\\n",
    ] {
        for at in memchr::memmem::find_iter(&binary, opening) {
            seen += 1;
            let rest = &binary[at + opening.len()..];
            let word = rest.iter().take_while(|byte| is_word_byte(**byte));
            let word: Vec<u8> = word.copied().take(WORD).collect();
            let is_secret = word.len() == WORD && !words(&word).is_empty();
            assert!(
                !is_secret,
                "{opening}{} at {at}",
                String::from_utf8_lossy(&word)
            );
        }
    }
    assert!(seen > 0, "the prefix of tokens is in the binary");
    // A token would be found.
    assert_eq!(words(b"archestra_4f9c1d77e2ab40958cd1 ").len(), 1);
}
