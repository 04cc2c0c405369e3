//! Tests of the reading of tokens: each text has one meaning, or is refused.

use super::*;

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn token(header: &str, claims: &str) -> String {
    format!(
        "{}.{}.{}",
        encoded(header),
        encoded(claims),
        encoded("signature")
    )
}

const HEADER: &str = r#"{"alg":"RS256","kid":"a"}"#;
const CLAIMS: &str = r#"{"iss":"https://a.example","sub":"ada"}"#;

fn fault(token: &str) -> Option<TokenFault> {
    read(token).err()
}

#[test]
fn a_token_is_read_with_its_key_algorithm_and_issuer() {
    let text = token(HEADER, CLAIMS);
    let read = read(&text).unwrap();
    assert_eq!(read.algorithm, Some(SignatureAlgorithm::RS256));
    assert_eq!(read.key.as_deref(), Some("a"));
    assert_eq!(read.issuer, "https://a.example");
    assert_eq!(text, format!("{}.{}", read.signed, read.signature));
}

#[test]
fn api_tokens_and_jwts_are_never_of_both_kinds() {
    assert!(is_jwt(&token(HEADER, CLAIMS)));
    for ours in [
        "archestra_0aZ",
        "a.b.c_0aZ",
        "eyJ_0aZ",
        "ey.J_0aZ",
        "",
        "..",
    ] {
        assert!(!is_jwt(ours), "{ours}");
    }
}

#[test]
fn oa07_tokens_that_bring_their_key_or_change_their_meaning_are_refused() {
    for name in REFUSED_PARAMETERS {
        for value in [r#""x""#, r#"["exp"]"#, "{}", "null"] {
            let header = format!(r#"{{"alg":"RS256","kid":"a","{name}":{value}}}"#);
            assert_eq!(
                fault(&token(&header, CLAIMS)),
                Some(TokenFault::Malformed),
                "{header}"
            );
        }
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/AT+JWT"] {
        let header = format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#);
        assert_eq!(fault(&token(&header, CLAIMS)), None, "{typ}");
    }
    for typ in ["logout+jwt", "dpop+jwt", "oauth-id-jag+jwt", "JWE", ""] {
        let header = format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#);
        assert_eq!(
            fault(&token(&header, CLAIMS)),
            Some(TokenFault::Type),
            "{typ}"
        );
    }
    for name in [
        "none", "None", "HS256", "HS384", "HS512", "rs256", "ES512", "",
    ] {
        let text = token(&format!(r#"{{"alg":"{name}"}}"#), CLAIMS);
        assert_eq!(read(&text).unwrap().algorithm, None, "{name}");
    }
}

#[test]
fn oa07_texts_that_two_readers_could_understand_differently_are_refused() {
    let good = token(HEADER, CLAIMS);
    let (header, claims, signature) = (encoded(HEADER), encoded(CLAIMS), encoded("signature"));
    let deep = format!(
        "{{\"iss\":\"x\",\"a\":{}{}}}",
        "[".repeat(70),
        "]".repeat(70)
    );
    let bad = [
        good.replacen('.', "", 1),
        format!("{good}."),
        format!("{good}.x"),
        format!("{header}.{claims}."),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.sig nature"),
        // Another spelling of the same bytes.
        format!("{header}.{claims}.c2lnbmF0dXJl0"),
        format!("{header}.{claims}.+/+/"),
        token(r#"{"alg":"RS256","alg":"none"}"#, CLAIMS),
        token(r#"{"alg":"RS256","\u0061lg":"none"}"#, CLAIMS),
        token(
            HEADER,
            r#"{"iss":"https://a.example","iss":"https://b.example"}"#,
        ),
        token(HEADER, r#"{"iss":"a","x":{"y":1,"y":2}}"#),
        token(HEADER, r#"["iss"]"#),
        token(HEADER, r#"{"iss":"a"} x"#),
        token(HEADER, r#"{"iss":1}"#),
        token(HEADER, r#"{"sub":"ada"}"#),
        token(HEADER, &deep),
        token(r#"{"kid":"a"}"#, CLAIMS),
        token(r#"{"alg":["RS256"]}"#, CLAIMS),
        token(r#"{"alg":"RS256","kid":1}"#, CLAIMS),
        format!(
            "{header}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(b"{\"iss\":\"\xff\"}")
        ),
        token(
            HEADER,
            &format!("{{\"iss\":\"{}\"}}", "x".repeat(JWT_LIMIT)),
        ),
    ];
    for text in bad {
        assert_eq!(fault(&text), Some(TokenFault::Malformed), "{text}");
    }
}

#[test]
fn times_are_numbers_that_exist() {
    let claims =
        serde_json::json!({"exp": 12, "nbf": 1.9, "a": -1, "b": 1e300, "c": "12", "d": null});
    assert_eq!(time(&claims, "exp"), Ok(Some(Timestamp(12_000))));
    assert_eq!(time(&claims, "nbf"), Ok(Some(Timestamp(1_000))));
    assert_eq!(time(&claims, "iat"), Ok(None));
    for name in ["a", "b", "c", "d"] {
        assert_eq!(time(&claims, name), Err(TokenFault::Malformed), "{name}");
    }
}
