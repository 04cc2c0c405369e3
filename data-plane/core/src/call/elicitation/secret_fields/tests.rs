//! Fields that ask for secrets are recognized in every usual spelling, and others are left alone.

use serde_json::{Value, json};

use super::*;

/// Names and titles of fields that ask for a secret.
const SECRETS: [&str; 40] = [
    "password",
    "Password",
    "PASSWORD",
    "newPassword",
    "new_password",
    "user-password",
    "Your password:",
    "db.password",
    "passwd",
    "pwd",
    "pass_word",
    "passphrase",
    "passcode",
    "secret",
    "clientSecret",
    "client_secret",
    "aws_secret_access_key",
    "apiKey",
    "api_key",
    "API key",
    "apikey",
    "x-api-key",
    "OPENAI_API_KEY",
    "accessKey",
    "accessToken",
    "access_token",
    "github_token",
    "Bearer token",
    "token",
    "privateKey",
    "SSH key",
    "credentials",
    "cardNumber",
    "Card number",
    "cvv",
    "security code",
    "PIN",
    "pin code",
    "recovery code",
    "seed phrase",
];

/// Names and titles of ordinary fields.
const ORDINARY: [&str; 20] = [
    "name",
    "email",
    "Your name",
    "token_count",
    "maxTokens",
    "tokens",
    "passenger",
    "pass",
    "secretary",
    "pinned",
    "pin_to_top",
    "spinner",
    "key",
    "keyboard",
    "monkey",
    "author",
    "code",
    "zip code",
    "number",
    "card",
];

fn form(name: &str, field: Value) -> Option<String> {
    let mut properties = json!({"first": {"type": "string", "title": "Name"}});
    properties[name] = field;
    let schema = json!({"type": "object", "properties": properties});
    warning(
        json!({"message": "m", "requestedSchema": schema})
            .to_string()
            .as_bytes(),
    )
}

#[test]
fn mc_07_fields_that_ask_for_a_secret_are_recognized_by_name_title_and_format() {
    for name in SECRETS {
        let by_name = form(name, json!({"type": "string"}));
        assert!(
            by_name.is_some_and(|it| it.contains(&format!("`{name}`"))),
            "{name}"
        );
        let by_title = form("field", json!({"type": "string", "title": name}));
        assert!(by_title.is_some_and(|it| it.contains("`field`")), "{name}");
    }
    assert!(form("field", json!({"type": "string", "format": "password"})).is_some());
    assert!(form("pin", json!({"type": "integer"})).is_some());
}

#[test]
fn ordinary_fields_and_choices_are_left_alone() {
    for name in ORDINARY {
        assert_eq!(form(name, json!({"type": "string"})), None, "{name}");
        assert_eq!(
            form("field", json!({"type": "string", "title": name})),
            None
        );
    }
    for field in [
        json!({"type": "boolean"}),
        json!({"type": "string", "enum": ["keep", "change"]}),
        json!({"type": "string", "oneOf": [{"const": "a", "title": "A"}]}),
        json!({"type": "array", "items": {"anyOf": []}}),
    ] {
        assert_eq!(form("password", field.clone()), None, "{field}");
    }
    for params in [
        "{}",
        r#"{"requestedSchema":7}"#,
        r#"{"requestedSchema":{"properties":[]}}"#,
        r#"{"requestedSchema":{"properties":{"password":7}}}"#,
    ] {
        let found = warning(params.as_bytes());
        assert_eq!(found.is_some(), params.contains("password"), "{params}");
    }
}

#[test]
fn a_warning_names_three_fields_in_a_form_that_cannot_deceive() {
    let fields = ["password", "a`\u{202e}\n secret", "pwd", "cvv", "otp"];
    let properties: serde_json::Map<String, Value> = fields
        .iter()
        .map(|name| ((*name).to_owned(), json!({"type": "string"})))
        .collect();
    let params = json!({"requestedSchema": {"properties": properties}}).to_string();
    let told = warning(params.as_bytes()).unwrap();
    assert!(told.contains(" and 2 more may ask"), "{told}");
    assert!(!told.contains(['\n', '\u{202e}']), "{told}");
    let long = form(&format!("{}_password", "x".repeat(500)), json!({}));
    assert!(long.unwrap().len() < 200);
}
