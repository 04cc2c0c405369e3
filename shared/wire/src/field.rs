//! Validation of single fields, shared by all messages. Each function takes the path of the field and the received
//! value, and returns the validated value or a [`FieldViolation`].

use std::time::Duration;

use toolgate_model::{
    AllowList, CredentialHosts, Digest, FieldPlace, MaxAnswer, OriginPattern, Slug, Timestamp,
    TokenHash, Uid,
};

use crate::invalid::FieldViolation;

/// Last second of the year 9999, the maximum of a protobuf timestamp.
const LAST_SECOND: i64 = 253_402_300_799;

/// Checks that there are at most `max` items.
pub(crate) fn max_count(field: &str, given: usize, max: usize) -> Result<(), FieldViolation> {
    if given <= max {
        return Ok(());
    }
    let reason = format!("{given} is more than fit: use at most {max}");
    Err(FieldViolation::new(field, reason))
}

/// Validates the maximum message size of a server. Zero selects the default.
pub(crate) fn max_answer(field: &str, given: u32) -> Result<MaxAnswer, FieldViolation> {
    if given == 0 {
        return Ok(MaxAnswer::default());
    }
    MaxAnswer::new(given).ok_or_else(|| {
        let most = MaxAnswer::MAX_MEBIBYTES;
        FieldViolation::new(
            field,
            format!("{given} MiB is too much: use at most {most}"),
        )
    })
}

/// Validates at most `max` items. A violation names the index of the item.
pub(crate) fn each<G, T>(
    field: &str,
    given: &[G],
    max: usize,
    item: impl Fn(&G) -> Result<T, FieldViolation>,
) -> Result<Vec<T>, FieldViolation> {
    max_count(field, given.len(), max)?;
    let checked = |(at, given)| item(given).map_err(|v| v.under(&format!("{field}[{at}]")));
    given.iter().enumerate().map(checked).collect()
}

/// Accepts any text of at most `max` bytes.
pub(crate) fn bounded(field: &str, given: &str, max: usize) -> Result<String, FieldViolation> {
    if given.len() <= max {
        return Ok(given.to_owned());
    }
    let reason = format!("{} bytes are too long: use at most {max}", given.len());
    Err(FieldViolation::new(field, reason))
}

/// Accepts displayable text of at most `max` bytes: no control characters except line ends and tabs.
pub(crate) fn text(field: &str, given: &str, max: usize) -> Result<String, FieldViolation> {
    let unwanted = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if given.contains(unwanted) {
        let reason = "contains control characters: remove them";
        return Err(FieldViolation::new(field, reason));
    }
    bounded(field, given, max)
}

/// Accepts a single line of at most `max` bytes.
pub(crate) fn line(field: &str, given: &str, max: usize) -> Result<String, FieldViolation> {
    if given.contains(char::is_control) {
        let reason = "contains line ends or other control characters: remove them";
        return Err(FieldViolation::new(field, reason));
    }
    bounded(field, given, max)
}

/// Accepts non-empty text of at most `max` bytes.
pub(crate) fn required(field: &str, given: &str, max: usize) -> Result<String, FieldViolation> {
    if given.is_empty() {
        return Err(FieldViolation::new(field, "is required: set it"));
    }
    bounded(field, given, max)
}

/// Parses an id.
pub(crate) fn slug(field: &str, given: &str) -> Result<Slug, FieldViolation> {
    if given.is_empty() {
        return Err(FieldViolation::new(field, "is required: set it"));
    }
    given
        .parse()
        .map_err(|invalid| FieldViolation::new(field, invalid))
}

/// Parses the identity of an object; `None` if it is empty, because an earlier build has written it.
pub(crate) fn uid(field: &str, given: &str) -> Result<Option<Uid>, FieldViolation> {
    if given.is_empty() {
        return Ok(None);
    }
    let uid = given.parse::<Uid>().map(Some);
    uid.map_err(|invalid| FieldViolation::new(field, invalid))
}

/// Accepts exactly 32 bytes.
pub(crate) fn bytes32(field: &str, given: &[u8]) -> Result<[u8; 32], FieldViolation> {
    given.try_into().map_err(|_wrong_length| {
        FieldViolation::new(field, format!("{} bytes instead of 32", given.len()))
    })
}

/// Parses a digest.
pub(crate) fn digest(field: &str, given: &[u8]) -> Result<Digest, FieldViolation> {
    bytes32(field, given).map(Digest)
}

/// Parses a digest in hexadecimal.
pub(crate) fn hex_digest(field: &str, given: &str) -> Result<Digest, FieldViolation> {
    let wrong = || FieldViolation::new(field, "is not 64 hexadecimal digits");
    let mut bytes = [0; 32];
    if given.len() != 64 || !given.is_ascii() {
        return Err(wrong());
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        let pair = given.get(at..at + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_not_hex| wrong())?;
    }
    Ok(Digest(bytes))
}

/// Parses a token hash.
pub(crate) fn token_hash(field: &str, given: &[u8]) -> Result<TokenHash, FieldViolation> {
    bytes32(field, given).map(TokenHash)
}

/// Accepts an enumeration value that this build knows.
pub(crate) fn enum_value<E: TryFrom<i32>>(field: &str, given: i32) -> Result<E, FieldViolation> {
    E::try_from(given)
        .map_err(|_unknown| FieldViolation::new(field, format!("{given} is not a known value")))
}

/// Converts an optional timestamp.
pub fn timestamp(
    field: &str,
    given: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>, FieldViolation> {
    let Some(given) = given else {
        return Ok(None);
    };
    let seconds = u64::try_from(given.seconds)
        .ok()
        .filter(|_| given.seconds <= LAST_SECOND);
    let nanos = u64::try_from(given.nanos)
        .ok()
        .filter(|n| *n < 1_000_000_000);
    match (seconds, nanos) {
        (Some(seconds), Some(nanos)) => Ok(Some(Timestamp(seconds * 1000 + nanos / 1_000_000))),
        _ => Err(FieldViolation::new(
            field,
            "is not a time between 1970 and 9999",
        )),
    }
}

/// Converts to a timestamp message.
pub fn to_timestamp(given: Timestamp) -> prost_types::Timestamp {
    let seconds = i64::try_from(given.0 / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(given.0 % 1000).unwrap_or_default() * 1_000_000;
    prost_types::Timestamp { seconds, nanos }
}

/// Converts to a timestamp message. The Unix epoch means "not known" and yields `None`.
pub fn to_known_timestamp(given: Timestamp) -> Option<prost_types::Timestamp> {
    (given != Timestamp(0)).then(|| to_timestamp(given))
}

/// Validates a timeout in whole milliseconds. Returns `default` if none is given.
pub(crate) fn timeout(
    field: &str,
    given: Option<&prost_types::Duration>,
    default: Duration,
) -> Result<Duration, FieldViolation> {
    let Some(given) = given else {
        return Ok(default);
    };
    let seconds = u64::try_from(given.seconds).ok();
    let nanos = u32::try_from(given.nanos)
        .ok()
        .filter(|n| *n < 1_000_000_000);
    let (Some(seconds), Some(nanos)) = (seconds, nanos) else {
        return Err(FieldViolation::new(field, "is not a positive duration"));
    };
    checked_timeout(field, Duration::new(seconds, nanos))
}

/// Validates a timeout in milliseconds.
pub(crate) fn timeout_ms(field: &str, given: u64) -> Result<Duration, FieldViolation> {
    checked_timeout(field, Duration::from_millis(given))
}

fn checked_timeout(field: &str, given: Duration) -> Result<Duration, FieldViolation> {
    let max = crate::limits::TIMEOUT;
    if given.is_zero() || given > max {
        let reason = format!("must be more than 0s and at most {}s", max.as_secs());
        return Err(FieldViolation::new(field, reason));
    }
    if !given.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(FieldViolation::new(field, "must be whole milliseconds"));
    }
    Ok(given)
}

/// Converts to a duration message.
pub(crate) fn to_duration(given: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(given.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(given.subsec_nanos()).unwrap_or_default();
    prost_types::Duration { seconds, nanos }
}

/// Converts a duration to milliseconds.
pub(crate) fn to_ms(given: Duration) -> u64 {
    u64::try_from(given.as_millis()).unwrap_or(u64::MAX)
}

/// Validates an allow list. An empty list allows everything, unless `none` is set: then it allows nothing.
pub(crate) fn allow_list<T: Ord>(
    field: &str,
    given: &[String],
    none: bool,
    item: impl Fn(&str, &str) -> Result<T, FieldViolation>,
) -> Result<AllowList<T>, FieldViolation> {
    max_count(field, given.len(), crate::limits::TOKEN_ALLOW_LIST)?;
    if none {
        if given.is_empty() {
            return Ok(AllowList::Only(Vec::new()));
        }
        let reason = format!("must be empty together with `no_{field}`");
        return Err(FieldViolation::new(field, reason));
    }
    let checked = |(at, given): (usize, &String)| item(&format!("{field}[{at}]"), given);
    let items: Result<Vec<T>, FieldViolation> = given.iter().enumerate().map(checked).collect();
    Ok(AllowList::of(items?))
}

/// Converts to the list and the flag that distinguishes nothing from everything.
pub(crate) fn allow_list_to_proto<T: ToString>(given: &AllowList<T>) -> (Vec<String>, bool) {
    match given {
        AllowList::All => (Vec::new(), false),
        AllowList::Only(items) => (items.iter().map(T::to_string).collect(), items.is_empty()),
    }
}

/// Parses the origins that a credential is bound to. An empty list is accepted: stored credentials may have none.
pub(crate) fn credential_hosts(
    field: &str,
    given: &[String],
) -> Result<CredentialHosts, FieldViolation> {
    max_count(field, given.len(), crate::limits::CREDENTIAL_HOSTS)?;
    let pattern = |(at, given): (usize, &String)| {
        let path = format!("{field}[{at}]");
        let given = required(&path, given, crate::limits::URL)?;
        let parsed = given.parse::<OriginPattern>();
        parsed.map_err(|invalid| FieldViolation::new(path, format!("`{given}` {invalid}")))
    };
    let patterns: Result<Vec<_>, _> = given.iter().enumerate().map(pattern).collect();
    patterns.map(CredentialHosts::new)
}

/// Converts to the texts of the origins.
pub(crate) fn credential_hosts_to_proto(given: &CredentialHosts) -> Vec<String> {
    given.patterns().iter().map(ToString::to_string).collect()
}

/// Validates and lower-cases the name of an HTTP header that a credential may set on requests to a server.
pub(crate) fn header_name(field: &str, given: &str) -> Result<String, FieldViolation> {
    let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if given.is_empty() || given.len() > crate::limits::HEADER_NAME || !given.bytes().all(token) {
        let reason = "is not an HTTP header name: use letters, digits and -, e.g. `Authorization`";
        return Err(FieldViolation::new(field, reason));
    }
    let name = given.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&name.as_str()) || name.starts_with("mcp-") {
        let reason = format!("`{given}` belongs to the protocol: use another header");
        return Err(FieldViolation::new(field, reason));
    }
    Ok(name)
}

/// Headers of the connection or the message, which a credential cannot use.
const RESERVED_HEADERS: [&str; 16] = [
    "accept",
    "cdn-loop",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-connection",
    "te",
    "trailer",
    "traceparent",
    "transfer-encoding",
    "upgrade",
];

/// Validates the name of a query parameter before percent-encoding.
pub(crate) fn query_name(field: &str, given: &str) -> Result<String, FieldViolation> {
    if given.is_empty()
        || given.len() > crate::limits::QUERY_NAME
        || given.contains(char::is_control)
    {
        let most = crate::limits::QUERY_NAME;
        let reason = format!(
            "is not the name of a query parameter: use 1 to {most} bytes without control characters, e.g. `api_key`"
        );
        return Err(FieldViolation::new(field, reason));
    }
    Ok(given.to_owned())
}

/// Validates the value of a query parameter before percent-encoding. The violation never contains the value.
pub(crate) fn query_value(field: &str, given: &[u8]) -> Result<(), FieldViolation> {
    let text = std::str::from_utf8(given).ok();
    if given.is_empty() || text.is_none_or(|text| text.contains(char::is_control)) {
        let reason = "is not the value of a query parameter: one line of UTF-8 text";
        return Err(FieldViolation::new(field, reason));
    }
    if given.len() > crate::limits::QUERY_VALUE {
        let most = crate::limits::QUERY_VALUE;
        let reason = format!("is too long: use at most {most} bytes");
        return Err(FieldViolation::new(field, reason));
    }
    Ok(())
}

/// Validates the name of a header or query parameter.
pub(crate) fn request_field_name(
    place: FieldPlace,
    field: &str,
    given: &str,
) -> Result<String, FieldViolation> {
    match place {
        FieldPlace::Header => header_name(field, given),
        FieldPlace::Query => query_name(field, given),
    }
}

/// Validates the value of a header or query parameter. The violation never contains the value.
pub(crate) fn request_field_value(
    place: FieldPlace,
    field: &str,
    given: &[u8],
) -> Result<(), FieldViolation> {
    match place {
        FieldPlace::Header => header_value(field, given),
        FieldPlace::Query => query_value(field, given),
    }
}

/// Validates the number of headers and of query parameters of a credential, at least one of either.
pub(crate) fn request_field_counts(
    prefix: &str,
    headers: usize,
    query: usize,
) -> Result<(), FieldViolation> {
    max_count(
        &format!("{prefix}headers"),
        headers,
        crate::limits::CREDENTIAL_HEADERS,
    )?;
    max_count(
        &format!("{prefix}query"),
        query,
        crate::limits::CREDENTIAL_QUERY,
    )?;
    if headers + query == 0 {
        let reason = "is required: set a header or a query parameter";
        return Err(FieldViolation::new(format!("{prefix}headers"), reason));
    }
    Ok(())
}

/// Validates that no name occurs twice in a place. Names are compared without case: some servers read `apiKey` and
/// `apikey` as one parameter.
pub(crate) fn unique_request_fields<'a>(
    prefix: &str,
    names: impl Iterator<Item = (FieldPlace, &'a str)>,
) -> Result<(), FieldViolation> {
    let mut seen = std::collections::BTreeSet::new();
    for (place, name) in names {
        if !seen.insert((place, name.to_ascii_lowercase())) {
            let list = match place {
                FieldPlace::Header => "headers",
                FieldPlace::Query => "query",
            };
            let reason = format!("names `{name}` twice: each name has one value");
            return Err(FieldViolation::new(format!("{prefix}{list}"), reason));
        }
    }
    Ok(())
}

/// Validates the value of an HTTP header. The violation never contains the value.
pub(crate) fn header_value(field: &str, given: &[u8]) -> Result<(), FieldViolation> {
    let visible = |c: &u8| matches!(c, b' '..=b'~' | b'\t' | 0x80..);
    let trimmed = given.trim_ascii().len() == given.len();
    if !given.iter().all(visible) || !trimmed || given.is_empty() {
        let reason = "is not an HTTP header value: one line without leading or trailing spaces";
        return Err(FieldViolation::new(field, reason));
    }
    if given.len() > crate::limits::HEADER_VALUE {
        let reason = format!(
            "is too long: use at most {} bytes",
            crate::limits::HEADER_VALUE
        );
        return Err(FieldViolation::new(field, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
