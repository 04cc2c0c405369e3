//! Reading of JSON Web Tokens in compact form (RFC 7519, RFC 7515), before anything of them is trusted. Everything that
//! two readers could understand differently is refused: duplicate names, other spellings of base64url, extensions.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use toolgate_mcp::object;
use toolgate_model::{SignatureAlgorithm, Timestamp};

use crate::authn::token_fault::TokenFault;

/// Maximum length of a token, in bytes.
pub const JWT_LIMIT: usize = 16 * 1024;

/// Largest number of seconds that is accepted as a time: exact in every JSON parser.
const MAX_SECONDS: f64 = 9_007_199_254_740_992.0;

/// Parameters of the header by which a token would bring, or point to, the key that verifies it, or that change its meaning.
const REFUSED_PARAMETERS: [&str; 9] = [
    "jwk", "jku", "x5u", "x5c", "crit", "b64", "cty", "enc", "zip",
];

/// Types of access tokens in `typ`, compared without case.
const TYPES: [&str; 4] = ["jwt", "application/jwt", "at+jwt", "application/at+jwt"];

/// Token that is read and not verified. It cannot be printed: its texts are those of a credential.
pub(crate) struct UnverifiedToken<'a> {
    /// Algorithm. `None` for algorithms that are never accepted.
    pub(crate) algorithm: Option<SignatureAlgorithm>,
    /// Id of the key, if the token names one.
    pub(crate) key: Option<String>,
    /// Issuer.
    pub(crate) issuer: String,
    /// Claims, an object.
    pub(crate) claims: Value,
    /// Signed text.
    pub(crate) signed: &'a str,
    /// Signature in base64url.
    pub(crate) signature: &'a str,
}

/// Returns `true` if a bearer token is a JSON Web Token by its form: three parts, of which the first is an encoded JSON object.
/// An API token never is: it has a prefix and letters and digits. No token is tried as both kinds.
pub fn is_jwt(token: &str) -> bool {
    token.starts_with("ey") && token.matches('.').count() == 2
}

/// Reads a token.
pub(crate) fn read(token: &str) -> Result<UnverifiedToken<'_>, TokenFault> {
    if token.len() > JWT_LIMIT {
        return Err(TokenFault::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
    if signature.is_empty() || claims.contains('.') || decoded(signature).is_none() {
        return Err(TokenFault::Malformed);
    }
    let header = object(header).ok_or(TokenFault::Malformed)?;
    let claims = object(claims).ok_or(TokenFault::Malformed)?;
    if REFUSED_PARAMETERS
        .iter()
        .any(|name| header.get(name).is_some())
    {
        return Err(TokenFault::Malformed);
    }
    let is_access_token = match header.get("typ") {
        None => true,
        Some(Value::String(given)) => TYPES.iter().any(|known| given.eq_ignore_ascii_case(known)),
        Some(_) => false,
    };
    if !is_access_token {
        return Err(TokenFault::Type);
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let algorithm = text(header.get("alg")).ok_or(TokenFault::Malformed)?;
    let key = match header.get("kid") {
        None => None,
        given => Some(text(given).ok_or(TokenFault::Malformed)?),
    };
    Ok(UnverifiedToken {
        algorithm: SignatureAlgorithm::named(&algorithm),
        key,
        issuer: text(claims.get("iss")).ok_or(TokenFault::Malformed)?,
        claims,
        signed,
        signature,
    })
}

/// Returns the time in a claim, in seconds since the epoch; `None` if the token does not have it.
pub(crate) fn time(claims: &Value, name: &str) -> Result<Option<Timestamp>, TokenFault> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|it| (0.0..=MAX_SECONDS).contains(it));
    let seconds = seconds.ok_or(TokenFault::Malformed)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked above; fractions of a second do not matter"
    )]
    let seconds = seconds as u64;
    Ok(Some(Timestamp(seconds.saturating_mul(1_000))))
}

/// Returns the texts of a claim: of a string, or of a list of strings; `None` for anything else.
pub(crate) fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn object(part: &str) -> Option<Value> {
    let bytes = decoded(part)?;
    let text = std::str::from_utf8(&bytes).ok()?;
    if !object::is_value(text) {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    value.is_object().then_some(value)
}

/// Decodes base64url without padding. Other spellings of the same bytes are refused.
fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests;
