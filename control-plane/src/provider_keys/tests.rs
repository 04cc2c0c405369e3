//! Tests of the reading of OpenID configurations.

use super::*;

#[test]
fn oa_09_a_configuration_of_another_issuer_names_no_keys() {
    let issuer = "https://login.example.com/acme";
    let document =
        |issuer: &str, url: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{url}"}}"#);
    let url = |text: &str| key_set_url(text.as_bytes(), issuer);
    let keys = "https://keys.example.com/set";
    assert_eq!(url(&document(issuer, keys)), Ok(keys.to_owned()));
    for bad in [
        document("https://login.example.com/acme/", keys),
        document("https://login.example.com/evil", keys),
        document(issuer, "http://keys.example.com/set"),
        format!(r#"{{"issuer":"{issuer}"}}"#),
        format!(r#"{{"jwks_uri":"{keys}"}}"#),
        "<html>".to_owned(),
    ] {
        assert!(url(&bad).is_err(), "{bad}");
    }
}
