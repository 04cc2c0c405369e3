//! Tests of the stored form: both versions are read, and what is not valid is set aside.

use toolgate_model::PrincipalSubject;

use super::*;
use crate::fixture::{server, snapshot, token};

/// Returns a view in which `files` and `more` refer to credentials of theirs, and `plain` to none.
fn view() -> View {
    let mut snapshot = snapshot(5, vec![token("t", 1)]);
    snapshot.entries.extend([
        server("files", "http://files.test/mcp", Some(3)),
        server("more", "http://more.test/mcp", Some(4)),
        server("plain", "http://plain.test/mcp", None),
    ]);
    View::build(&snapshot, None).0
}

fn shown(entries: &[CredentialEntry]) -> Vec<String> {
    let shown = |(server, principal, held): &CredentialEntry| {
        let UpstreamCredential::Header(header) = &*held.value else {
            panic!("one header");
        };
        let principal = principal.as_ref().map(ToString::to_string);
        let value = String::from_utf8_lossy(&header.value).into_owned();
        format!(
            "{server} {principal:?} {} {} {value}",
            held.credential, held.revision
        )
    };
    entries.iter().map(shown).collect()
}

fn directory() -> (tempfile::TempDir, EncryptedDirectory) {
    let folder = tempfile::tempdir().unwrap();
    let disk = EncryptedDirectory::open(folder.path()).unwrap();
    (folder, disk)
}

#[test]
fn a_file_of_the_first_version_is_read_for_the_servers_that_refer_to_it() {
    let (_folder, disk) = directory();
    // Bytes as the build before this version wrote them; nothing refers to the last entry.
    let first = br#"[{"org":"acme","id":"files-key","revision":3,"expires":null,"header":"authorization","value":[65,66]},{"org":"acme","id":"unused","revision":1,"expires":5,"header":"x-key","value":[67]}]"#;
    disk.save(FILE, first).unwrap();
    let entries = load(&disk, &view());
    assert_eq!(shown(&entries), ["acme/files None files-key 3 AB"]);
    save(&disk, entries).unwrap();
    let written = disk.load(FILE).unwrap();
    assert!(written.starts_with(br#"{"version":2,"#));
    assert_eq!(
        shown(&load(&disk, &view())),
        ["acme/files None files-key 3 AB"]
    );
}

#[test]
fn several_headers_and_parameters_are_kept_in_a_form_that_earlier_builds_set_aside() {
    let (_folder, disk) = directory();
    let field = |place, name: &str, value: &str| CredentialField {
        place,
        name: name.into(),
        value: Zeroizing::new(value.as_bytes().to_vec()),
    };
    let fields = vec![
        field(FieldPlace::Header, "x-key", "a"),
        field(FieldPlace::Query, "api_key", "b"),
    ];
    let value = UpstreamCredential::of_fields(fields, CredentialHosts::default());
    let held = CachedCredential {
        credential: "files-key".parse().unwrap(),
        revision: 3,
        expires: None,
        value: Arc::new(value),
    };
    let server = ObjectName::new("acme".parse().unwrap(), "files".parse().unwrap());
    save(&disk, vec![(server, None, held)]).unwrap();
    assert!(disk.load(FILE).unwrap().starts_with(br#"{"version":3,"#));
    let entries = load(&disk, &view());
    let expected = [
        (FieldPlace::Header, "x-key", &b"a"[..]),
        (FieldPlace::Query, "api_key", &b"b"[..]),
    ];
    assert_eq!(entries[0].2.value.fields(), expected);
}

#[test]
fn personal_credentials_round_trip_with_their_principal() {
    let (_folder, disk) = directory();
    let entry = (
        "more"
            .parse()
            .map(|id| ObjectName::new("acme".parse().unwrap(), id))
            .unwrap(),
        Some(Principal {
            org: "acme".parse().unwrap(),
            subject: PrincipalSubject::User("ada".parse().unwrap()),
        }),
        CachedCredential {
            credential: "more-key".parse().unwrap(),
            revision: 4,
            expires: Some(Timestamp(9)),
            value: header(
                "authorization",
                &SecretBytes(b"of ada".to_vec()),
                CredentialHosts::new(vec!["https://a.example".parse().unwrap()]),
            ),
        },
    );
    save(&disk, vec![entry]).unwrap();
    let entries = load(&disk, &view());
    assert_eq!(
        shown(&entries),
        [r#"acme/more Some("acme/user:ada") more-key 4 of ada"#]
    );
    assert_eq!(entries[0].2.expires, Some(Timestamp(9)));
    let UpstreamCredential::Header(header) = &*entries[0].2.value else {
        panic!("one header");
    };
    assert_eq!(header.hosts.to_string(), "https://a.example");
}

#[test]
fn a_file_of_a_newer_version_or_without_sense_is_set_aside() {
    for bytes in [&br#"{"version":4,"credentials":[]}"#[..], b"[1]", b"", b"{"] {
        let (folder, disk) = directory();
        disk.save(FILE, bytes).unwrap();
        assert!(load(&disk, &view()).is_empty());
        let left = std::fs::read_dir(folder.path()).unwrap();
        let left: Vec<String> = left
            .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(!left.contains(&"credentials.sealed".to_owned()), "{left:?}");
    }
}
