//! Fields that ask for secrets are recognized in every usual spelling, and others are left alone.

use serde_json::{Value, json};

use super::*;

/// Names and titles of fields that ask for a secret.
const SECRETS: [&str; 69] = [
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
    "secrets",
    "passwords",
    "Passwords:",
    "password2",
    "userpassword",
    "pass word",
    "pass words",
    "p a s s w o r d",
    "pass.w.ord",
    "api keys",
    "API Keys",
    "access tokens",
    "one-time password",
    "PIN code",
    "PIN codes",
    "pincode",
    "PIN number",
    // Letters of other scripts, compatibility forms, marks, digits in place of letters, invisible characters.
    "p\u{430}ssword",
    "\u{440}\u{430}\u{455}\u{455}w\u{43e}rd",
    "\u{ff50}\u{ff41}\u{ff53}\u{ff53}\u{ff57}\u{ff4f}\u{ff52}\u{ff44}",
    "\u{ff21}\u{ff30}\u{ff29}\u{ff3f}\u{ff2b}\u{ff25}\u{ff39}",
    "p\u{e1}ssword",
    "passw0rd",
    "APl key",
    "pass\u{200b}word",
    "pass\u{1d159}word",
    "pass\u{2800}word",
    "to\u{2060}ken",
    "P\u{406}N",
];

/// Names and titles of ordinary fields.
const ORDINARY: [&str; 24] = [
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
    "pass number",
    "compass word",
    "keys",
    "apiary key",
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
            by_name.is_some_and(|it| it.contains(&shown(name))),
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
        json!({"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}}),
        json!({"type": "string", "const": "a"}),
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

#[test]
fn mc_07_no_keyword_of_a_form_hides_a_field_that_asks_for_a_secret() {
    let text = json!({"type": "string"});
    for field in [
        json!({"type": "string", "oneOf": []}),
        json!({"type": "string", "anyOf": []}),
        json!({"type": "string", "enum": []}),
        json!({"type": "string", "enum": null}),
        json!({"type": "string", "const": null}),
        json!({"type": "string", "oneOf": [{"const": null, "title": "A"}]}),
        json!({"type": "string", "oneOf": [{"const": "a"}, {"type": "string"}]}),
        json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"type": ["string", "null"]}),
        json!({"type": "String"}),
        json!({"$ref": "#/$defs/text"}),
        json!({"type": "array"}),
        json!({"type": "array", "items": text}),
        json!({"type": "array", "items": {"anyOf": []}}),
        json!({"type": "boolean", "anyOf": [text]}),
    ] {
        let found = form("password", field.clone());
        assert!(found.is_some_and(|it| it.contains("`password`")), "{field}");
    }
    for field in [
        json!({"allOf": [{"format": "password"}]}),
        json!({"type": "object", "properties": {"password": text}}),
        json!({"type": "object", "patternProperties": {"^password$": text}}),
        json!({"type": "array", "items": {"type": "object", "properties": {"a": {"title": "API key"}}}}),
        json!({"if": {}, "then": {"title": "Password"}}),
        json!({"type": "string", "vendor": {"title": "Password"}}),
    ] {
        assert!(form("field", field.clone()).is_some(), "{field}");
    }
    for schema in [
        json!({"allOf": [{"properties": {"password": text}}]}),
        json!({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string", "title": "Password"}}}),
        json!({"definitions": {"b": {"type": "string", "format": "PASSWORD"}}}),
        json!({"dependentSchemas": {"a": {"properties": {"pin": text}}}}),
    ] {
        let params = json!({"message": "m", "requestedSchema": schema}).to_string();
        assert!(warning(params.as_bytes()).is_some(), "{params}");
    }
    for schema in [
        json!({"title": "Password reset", "properties": {"email": text}}),
        json!({"properties": {"email": {"type": "string", "default": {"title": "password"}, "examples": [{"title": "pwd"}]}}}),
    ] {
        let params = json!({"message": "m", "requestedSchema": schema}).to_string();
        assert_eq!(warning(params.as_bytes()), None, "{params}");
    }
}
