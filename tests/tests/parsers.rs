//! Frames that the gateway accepts, as the JSON parsers of other languages read them: all find the same method, id, name
//! and members.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use toolgate_mcp::{Envelope, FrameLimits, envelope};
use toolgate_tests::clock::HANG_GUARD;
use toolgate_tests::external_programs::{node, python, repository, script};

/// Integers that a double holds exactly. The parser of Node reads others as a neighbour.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Least number of accepted frames.
const LEAST: usize = 300;

/// Frame whose bytes are changed one at a time.
const FRAME: &str = r#"{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"ab","Nbme":"c","arguments":{"name":1}}}"#;

/// Parameters of `tools/call` with unusual members and texts.
const PARAMS: [&str; 22] = [
    r#"{"na\u006de":"a"}"#,
    r#"{"name":"\u0061\ud83d\ude00"}"#,
    r#"{"name":"a\u0000b"}"#,
    r#"{"name":"a\u2028\u2029b"}"#,
    r#"{"name":"\ufeffa"}"#,
    "{\"name\":\"\u{feff}a\u{7f}\u{2028}\"}",
    "{\"name\":\"e\u{301}\u{1f468}\u{200d}\u{1f469}\"}",
    r#"{"name":"a\/b\\c\"d\b\f\n\r\t"}"#,
    r#"{"name":"a","":"empty"}"#,
    r#"{"name":"a","__proto__":{"name":"b"}}"#,
    r#"{"__proto__":{"name":"b"}}"#,
    r#"{"name":"a","constructor":1,"hasOwnProperty":2,"toString":3}"#,
    r#"{"name":"a","arguments":{"__proto__":1,"0":2,"-1":3,"1e3":4}}"#,
    r#"{"name":"a","arguments":{"b":1,"B\u0130":2,"\u00df":3}}"#,
    r#"{"name":"a","arguments":{"x":-0,"y":0.0,"z":1E+2,"w":1e-400}}"#,
    r#"{"name":"a","arguments":{"x":18446744073709551616,"y":1.7976931348623157e308}}"#,
    r#"{"name":"a","arguments":{"x":123456789012345678901234567890.5e-7}}"#,
    r#"{"name":"a","arguments":{"x":[[[[[[[[[[{}]]]]]]]]]]}}"#,
    r#"{"name":"a","arguments":{"name":"b","method":"c","id":9}}"#,
    r#"{"arguments":{"name":"b"},"name":"a"}"#,
    r#"{"name":null}"#,
    r#"{"uri":"file:///\u00e9/%2e%2e"}"#,
];

/// Ids, as text.
const IDS: [&str; 8] = [
    "0",
    "-1",
    "9007199254740991",
    "9007199254740993",
    "\"\"",
    "\"\\u0031\"",
    "\"1\"",
    "\"\u{feff}\"",
];

/// Frames of every kind, accepted or not.
fn frames() -> Result<BTreeSet<Vec<u8>>> {
    let mut all = BTreeSet::new();
    for folder in ["envelope", "batch", "nested"] {
        let folder = repository().join("tests/fuzz/corpus").join(folder);
        for file in fs::read_dir(folder)? {
            all.insert(fs::read(file?.path())?);
        }
    }
    for params in PARAMS {
        for id in IDS {
            let frame =
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#);
            all.insert(frame.replace(',', " ,\t").into_bytes());
            all.insert(format!("\r\n {frame}\n").into_bytes());
        }
    }
    let others = b"\"\\{}[]:,nNaAmMeE10.-u \n\0\xff";
    for at in 0..FRAME.len() {
        let (before, after) = FRAME.as_bytes().split_at(at);
        let changed = |middle: &[u8]| [before, middle, after.get(1..).unwrap_or_default()].concat();
        all.insert(changed(b""));
        all.extend(others.iter().map(|byte| changed(&[*byte])));
    }
    Ok(all)
}

/// Gives the frames to a script and returns its reading of each.
async fn readings(program: &Path, name: &str, frames: &[Vec<u8>]) -> Result<Vec<Value>> {
    let mut input = String::new();
    for frame in frames {
        for byte in frame {
            write!(input, "{byte:02x}")?;
        }
        input.push('\n');
    }
    let mut command = Command::new(program);
    command.arg(script(name)?).kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let writing = async {
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        anyhow::Ok(())
    };
    let both = async { tokio::join!(writing, child.wait_with_output()) };
    let (written, output) = tokio::time::timeout(HANG_GUARD, both)
        .await
        .context(name.to_owned())?;
    let output = output?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{name} ended after {:?}: {errors}",
        output.stdout.len()
    );
    written?;
    let lines = std::str::from_utf8(&output.stdout)?.lines();
    lines
        .map(|line| serde_json::from_str(line).context(line.to_owned()))
        .collect()
}

/// Lists the differences between the results of the gateway's parser and another parser.
fn differences(ours: &Envelope<'_>, theirs: &Value) -> Vec<String> {
    let text = |name: &str| theirs.get(name).and_then(Value::as_str).map(str::to_owned);
    let method = ours.method.as_ref();
    let method = method.map(|method| method.as_str().to_owned());
    let of_params = |name: &str| {
        let params = ours.params.as_ref()?;
        let member = if name == "name" {
            &params.name
        } else {
            &params.uri
        };
        member.as_ref().map(|text| text.as_str().to_owned())
    };
    let mut found = Vec::new();
    for (name, ours) in [
        ("method", method),
        ("name", of_params("name")),
        ("uri", of_params("uri")),
    ] {
        if ours != text(name) {
            found.push(format!("{name}: {ours:?}"));
        }
    }
    let id = ours
        .raw_id()
        .and_then(|id| serde_json::from_str::<Value>(id).ok());
    let is_exact = id.as_ref().is_none_or(|id| {
        let magnitude = id.as_i64().map(i64::unsigned_abs);
        id.is_string() || magnitude.is_some_and(|size| size <= SAFE_INTEGER)
    });
    if is_exact && id.as_ref().unwrap_or(&Value::Null) != &theirs["id"] {
        found.push(format!("id: {id:?}"));
    }
    found
}

#[tokio::test]
async fn accepted_frames_read_the_same_in_the_parsers_of_python_and_node() {
    let frames = frames().unwrap();
    let accepted: Vec<Vec<u8>> = frames
        .iter()
        .filter(|bytes| envelope::parse(bytes, &FrameLimits::REQUEST).is_ok())
        .cloned()
        .collect();
    assert!(
        accepted.len() >= LEAST,
        "{} of {}",
        accepted.len(),
        frames.len()
    );
    let in_python = readings(&python(1).unwrap(), "read_frames.py", &accepted)
        .await
        .unwrap();
    let in_node = readings(&node().unwrap(), "read_frames.mjs", &accepted)
        .await
        .unwrap();
    assert_eq!(
        (in_python.len(), in_node.len()),
        (accepted.len(), accepted.len())
    );
    let mut failures = Vec::new();
    for (bytes, (python, node)) in accepted.iter().zip(in_python.iter().zip(&in_node)) {
        let ours = envelope::parse(bytes, &FrameLimits::REQUEST).unwrap();
        for (language, theirs) in [("Python", python), ("Node", node)] {
            let found = differences(&ours, theirs);
            if !found.is_empty() {
                let frame = String::from_utf8_lossy(bytes);
                failures.push(format!("{frame}: {found:?}, in {language} {theirs}"));
            }
        }
        for members in ["keys", "params", "arguments"] {
            if python[members] != node[members] {
                failures.push(format!("{members}: {python} and {node}"));
            }
        }
    }
    println!("{} of {} frames are accepted", accepted.len(), frames.len());
    assert!(failures.is_empty(), "{failures:#?}");
}
