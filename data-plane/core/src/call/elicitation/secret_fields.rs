//! Fields of a form that ask for a secret. The protocol forbids servers to request passwords, keys and tokens in a form: the
//! answer passes through the client, its model and its logs. A field is recognized by its format and by the words of its name
//! and title, in every schema of the form: clients differ in the keywords they support. The recognition is a warning to the user and no barrier: a server can call a field anything.

use std::{collections::BTreeSet, sync::OnceLock};

use toolgate_mcp::{
    deceptive_text::{
        self,
        confusable::{self, caseless_skeleton},
    },
    object,
};

/// Maximum number of fields that a warning names.
const MAX_NAMED: usize = 3;

/// Maximum number of characters of a name in a warning.
const MAX_NAME: usize = 40;

/// Words that name a secret by themselves, also in the plural or with a number, and if they are written as several words.
const WORDS: [&str; 30] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "authtoken",
    "backupcode",
    "bearertoken",
    "cardnumber",
    "credential",
    "cvc",
    "cvv",
    "encryptionkey",
    "mfa",
    "otp",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "pincode",
    "pinnumber",
    "privatekey",
    "pwd",
    "recoverycode",
    "refreshtoken",
    "secret",
    "securitycode",
    "seedphrase",
    "sshkey",
    "totp",
    "verificationcode",
];

/// Words that name a secret inside longer words, such as `userpassword`.
const PARTS: [&str; 4] = ["credential", "passphrase", "passwd", "password"];

/// Maximum length in bytes of several words that are read as one; all words that name a secret are shorter.
const MAX_LENGTH: usize = 32;

/// Words that name a secret if nothing follows them: `github_token` is one, `token_count` is none.
const LAST_WORDS: [&str; 2] = ["pin", "token"];

/// Keywords of a schema whose members are named by its author. Their names are those of fields, or of schemas that fields
/// refer to.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// Keywords whose values are data and no schemas.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Maximum depth of schemas that are searched. Forms that are nested deeper are not passed on.
const MAX_DEPTH: usize = 64;

/// Returns a warning if a form has fields that ask for secrets. `params` are the parameters of its `elicitation/create`.
pub(super) fn warning(params: &[u8]) -> Option<String> {
    let schema = object::get(params, "requestedSchema")?;
    let mut fields = Vec::new();
    collect(schema, None, MAX_DEPTH, &mut fields);
    if fields.is_empty() {
        return None;
    }
    let more = fields.len().saturating_sub(MAX_NAMED);
    let named: Vec<String> = fields.iter().take(MAX_NAMED).map(|it| shown(it)).collect();
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "(Enter no password, key or token: {}{more} may ask for one, which a form must not do.)",
        named.join(", ")
    ))
}

/// Adds the names of the fields of a schema, or of a list of schemas, that ask for secrets. `field` is the name of the field
/// that the schema describes, `None` for the form as a whole.
fn collect(schema: &[u8], field: Option<&str>, depth: usize, found: &mut Vec<String>) {
    if let Some(name) = field
        && !schema.starts_with(b"[")
        && asks_for_secret(name, schema)
        && found.last().is_none_or(|last| last != name)
    {
        found.push(name.to_owned());
    }
    if depth == 0 {
        return;
    }
    for item in object::elements(schema) {
        let item = item.of(schema);
        if item.starts_with(b"{") {
            collect(item, field, depth - 1, found);
        }
    }
    for member in object::members(schema) {
        let holds_schemas = matches!(member.value.first(), Some(b'{' | b'['));
        if NAMED.contains(&&*member.name) && member.value.starts_with(b"{") {
            for inner in object::members(member.value) {
                collect(inner.value, Some(&inner.name), depth - 1, found);
            }
        } else if holds_schemas && !DATA.contains(&&*member.name) {
            collect(member.value, field, depth - 1, found);
        }
    }
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
    is_open(field, text("type").as_deref())
        && !is_choice(field)
        && (names_secret(name) || text("title").is_some_and(|title| names_secret(&title)))
}

/// Returns `true` if a field of this type takes a text or a number itself. The schemas in it are fields of their own.
fn is_open(field: &[u8], json_type: Option<&str>) -> bool {
    let has = |member: &str| object::get(field, member).is_some();
    match json_type {
        Some("boolean" | "null") => false,
        Some("array") => !has("items") && !has("prefixItems"),
        Some("object") => !has("properties"),
        // Clients treat a type that they do not know as a text.
        Some(_) | None => true,
    }
}

/// Returns `true` if a field is a choice among values that its schema lists. A list without values limits nothing, nor does
/// `const` with `null`, which some parsers cannot tell from an absent one.
fn is_choice(field: &[u8]) -> bool {
    let values = |member: &str| object::get(field, member).map(object::elements);
    let is_fixed = |value: &[u8]| {
        let value = object::get(value, "const");
        value.is_some_and(|value| value != b"null")
    };
    let lists_values = values("enum").is_some_and(|values| !values.is_empty());
    let lists_options = ["oneOf", "anyOf"].into_iter().any(|member| {
        let options = object::get(field, member).unwrap_or_default();
        let mut spans = object::elements(options).into_iter().peekable();
        spans.peek().is_some() && spans.all(|option| is_fixed(option.of(options)))
    });
    lists_values || lists_options || is_fixed(field)
}

/// Returns `true` if a name or title has words that stand for a secret. Words are compared by their skeletons, so that
/// letters of other scripts, digits in place of letters and invisible characters make no difference.
fn names_secret(name: &str) -> bool {
    let (secrets, words) = (SecretWords::all(), words(&confusable::plain_letters(name)));
    let is_last = |word: &String| secrets.last.contains(&caseless_skeleton(word));
    if words.last().is_some_and(is_last) {
        return true;
    }
    let forms: Vec<String> = words.iter().map(|word| alike(word)).collect();
    let contains_part = |word: &String| secrets.parts.iter().any(|part| word.contains(part));
    let is_start = |start: usize| forms.get(start..).is_some_and(|rest| secrets.open(rest));
    forms.iter().any(contains_part) || (0..forms.len()).any(is_start)
}

/// Returns a form of a word that all words of the same look share: a small l may stand for a capital I. A number at the end
/// is left out.
fn alike(word: &str) -> String {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    caseless_skeleton(word).replace('i', "l")
}

/// Skeletons of the words that name a secret.
struct SecretWords {
    words: BTreeSet<String>,
    parts: BTreeSet<String>,
    last: BTreeSet<String>,
}

impl SecretWords {
    fn all() -> &'static Self {
        static ALL: OnceLock<SecretWords> = OnceLock::new();
        ALL.get_or_init(|| Self {
            words: WORDS.into_iter().map(alike).collect(),
            parts: PARTS.into_iter().map(alike).collect(),
            last: LAST_WORDS.into_iter().map(caseless_skeleton).collect(),
        })
    }

    /// Returns `true` if the first of these words, or the first ones written together, name a secret.
    fn open(&self, words: &[String]) -> bool {
        let mut joined = String::new();
        for word in words {
            joined.push_str(word);
            if joined.len() > MAX_LENGTH {
                return false;
            }
            let singular = joined.strip_suffix('s').unwrap_or(&joined);
            if self.words.contains(&joined) || self.words.contains(singular) {
                return true;
            }
        }
        false
    }
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
