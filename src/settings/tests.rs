//! Tests of the precedence of sources and of their display.

use std::{ffi::OsString, fs};

use super::{ResolvedSetting, parse};

fn check(file: &str, flags: &[&str]) -> Result<Vec<ResolvedSetting>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toolgate.yaml");
    fs::write(&path, file).unwrap();
    let mut arguments = vec!["toolgate", "up", "--config", path.to_str().unwrap()];
    arguments.extend(flags);
    let arguments = arguments.into_iter().map(OsString::from).collect();
    parse(arguments)
        .map(|parsed| parsed.settings)
        .map_err(|fault| fault.to_string())
}

fn of<'a>(settings: &'a [ResolvedSetting], name: &str) -> (&'a str, &'a str) {
    let setting = settings
        .iter()
        .find(|setting| setting.name == name)
        .unwrap();
    (&setting.value, &setting.source)
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let file =
        "listen: 127.0.0.1:1\nadmin-listen: 127.0.0.1:2\negress-allow: [10.0.0.0/8, 10.1.0.0/16]\n";
    let settings = check(file, &["--listen", "127.0.0.1:9"]).unwrap();
    assert_eq!(of(&settings, "listen"), ("127.0.0.1:9", "flag"));
    assert_eq!(of(&settings, "admin-listen"), ("127.0.0.1:2", "file"));
    assert_eq!(
        of(&settings, "egress-allow"),
        ("10.0.0.0/8,10.1.0.0/16,127.0.0.0/8,::1/128", "file"),
        "what `up` allows by itself is allowed beside it"
    );
    assert_eq!(of(&settings, "data-dir"), (".toolgate", "default"));
    assert_eq!(of(&settings, "log"), ("warn", "default"));
}

#[test]
fn required_settings_may_come_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.yaml");
    fs::write(&path, "control-plane: [https://control.example:7410]\n").unwrap();
    let arguments = ["toolgate", "proxy", "--config", path.to_str().unwrap()];
    let settings = parse(arguments.map(OsString::from).to_vec())
        .unwrap()
        .settings;
    let (value, source) = of(&settings, "control-plane");
    assert_eq!(source, "file");
    assert!(value.contains("control.example:7410"), "{value}");
}

#[test]
fn an_error_in_the_file_names_file_and_line() {
    let fault = check("listen: 127.0.0.1:1\nlistten: 5\n", &[]).unwrap_err();
    assert!(
        fault.contains("toolgate.yaml:2: there is no setting `listten`"),
        "{fault}"
    );
    let fault = check("listen: {a: 1}\n", &[]).unwrap_err();
    assert!(fault.contains("`listen` must be"), "{fault}");
    let fault = check("listen: nowhere\n", &[]).unwrap_err();
    assert!(fault.contains("nowhere"), "{fault}");
}
