//! Fields of a form that ask for a secret. The protocol forbids servers to request passwords, keys and tokens in a form: the
//! answer passes through the client, its model and its logs. A field is recognized by its format and by the words of its name
//! and title. The recognition is a warning to the user and no barrier: a server can call a field anything.

use toolgate_mcp::{deceptive_text, object};

/// Maximum number of fields that a warning names.
const MAX_NAMED: usize = 3;

/// Maximum number of characters of a name in a warning.
const MAX_NAME: usize = 40;

/// Words that name a secret by themselves.
const WORDS: [&str; 18] = [
    "apikey",
    "authtoken",
    "accesstoken",
    "credential",
    "credentials",
    "cvc",
    "cvv",
    "mfa",
    "otp",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "secret",
    "secrets",
    "totp",
];

/// Two words in a row that name a secret together.
const PAIRS: [(&str, &str); 14] = [
    ("access", "key"),
    ("api", "key"),
    ("backup", "code"),
    ("card", "number"),
    ("encryption", "key"),
    ("pass", "phrase"),
    ("pass", "word"),
    ("pin", "code"),
    ("private", "key"),
    ("recovery", "code"),
    ("security", "code"),
    ("seed", "phrase"),
    ("ssh", "key"),
    ("verification", "code"),
];

/// Words that name a secret if nothing follows them: `github_token` is one, `token_count` is none.
const LAST_WORDS: [&str; 2] = ["pin", "token"];

/// Returns a warning if a form has fields that ask for secrets. `params` are the parameters of its `elicitation/create`.
pub(super) fn warning(params: &[u8]) -> Option<String> {
    let schema = object::get(params, "requestedSchema")?;
    let properties = object::get(schema, "properties")?;
    let mut named: Vec<String> = object::members(properties)
        .filter(|field| asks_for_secret(&field.name, field.value))
        .map(|field| shown(&field.name))
        .collect();
    if named.is_empty() {
        return None;
    }
    let more = named.len().saturating_sub(MAX_NAMED);
    named.truncate(MAX_NAMED);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "(Enter no password, key or token: {}{more} may ask for one, which a form must not do.)",
        named.join(", ")
    ))
}

fn shown(name: &str) -> String {
    let short: String = name.chars().take(MAX_NAME).collect();
    let visible = deceptive_text::escaped_with(
        &short,
        |c| c.is_control() || c == '`',
        |c| c.escape_unicode().to_string(),
    );
    format!("`{visible}`")
}

fn asks_for_secret(name: &str, field: &[u8]) -> bool {
    let text = |member: &str| {
        let written = object::get(field, member)?;
        serde_json::from_slice::<String>(written).ok()
    };
    if text("format").is_some_and(|format| format.eq_ignore_ascii_case("password")) {
        return true;
    }
    // A choice among given values, or a yes or no, contains no secret.
    let has = |member: &str| object::get(field, member).is_some();
    let is_choice = ["enum", "oneOf", "anyOf", "const"].into_iter().any(has);
    let is_open = matches!(
        text("type").as_deref(),
        Some("string" | "number" | "integer") | None
    );
    is_open
        && !is_choice
        && (names_secret(name) || text("title").is_some_and(|title| names_secret(&title)))
}

/// Returns `true` if a name or title has words that stand for a secret.
fn names_secret(name: &str) -> bool {
    let words = words(name);
    let is_word = |word: &String| WORDS.contains(&word.as_str());
    let is_pair = |pair: &[String]| match pair {
        [one, other] => PAIRS.contains(&(one.as_str(), other.as_str())),
        _ => false,
    };
    words.iter().any(is_word)
        || words.windows(2).any(is_pair)
        || words
            .last()
            .is_some_and(|last| LAST_WORDS.contains(&last.as_str()))
}

/// Splits a name into words in lower case: at characters that are no letters or digits, and before a capital letter that
/// follows a small one.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut after_small = false;
    for c in name.chars() {
        let ends = !c.is_alphanumeric() || (c.is_uppercase() && after_small);
        if ends && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        after_small = c.is_lowercase() || c.is_numeric();
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests;
