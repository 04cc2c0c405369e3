//! Text of the record of a deployment: comments, a check of the rest, and numbers with their names. A text that is damaged is no
//! record: read as an older one, it would let an older store through.

use toolgate_control_core::ServedChange;
use toolgate_model::{Digest, Timestamp};

#[cfg(test)]
mod tests;

/// First line of a record.
const COMMENT: &str =
    "# Written by the control plane: a deployment was served from this folder, up to this change.";
/// Name of the check: the first digits of the SHA-256 of what follows its line. Absent in records of earlier builds.
const CHECK: &str = "check";
/// Number of hexadecimal digits of the check.
const CHECK_DIGITS: usize = 16;
const EPOCH: &str = "epoch";
/// Name of the time at which the epoch began, in milliseconds. Absent in records of earlier builds.
const EPOCH_BEGAN: &str = "epoch-began";
/// Name of the number of the entry in the version log. Absent in records of earlier builds.
const LOG_ENTRY: &str = "log-entry";
/// Name of the store revision of the change. Absent in records of builds that recorded the epoch alone.
const REVISION: &str = "revision";

/// Damage of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordDamage {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it is too long")]
    TooLong,
    #[error("its check does not fit its content")]
    Check,
    #[error("no number follows `{0}`")]
    NoNumber(&'static str),
    #[error("it contains a word that no control plane writes")]
    UnknownWord,
    #[error("it names no epoch")]
    NoEpoch,
}

/// Returns the text of a record.
pub(super) fn record_text(latest: &ServedChange) -> String {
    let number = |name, number: Option<u64>| {
        number.map_or_else(String::new, |number| format!("{name} {number}\n"))
    };
    let content = [
        number(EPOCH, Some(latest.epoch)),
        number(EPOCH_BEGAN, latest.epoch_began.map(|at| at.0)),
        number(LOG_ENTRY, latest.log_entry),
        number(REVISION, Some(latest.revision)),
    ]
    .concat();
    format!("{COMMENT}\n{CHECK} {}\n{content}", check_of(&content))
}

/// Reads the text of a record.
pub(super) fn parse(text: &str) -> Result<ServedChange, RecordDamage> {
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        if !line.starts_with('#') {
            break;
        }
        rest = after;
    }
    let mut words = rest.split_whitespace();
    if words.next() != Some(CHECK) {
        return numbers(rest, &[EPOCH, REVISION]);
    }
    let (line, content) = rest.split_once('\n').ok_or(RecordDamage::Check)?;
    if line != format!("{CHECK} {}", check_of(content)) {
        return Err(RecordDamage::Check);
    }
    numbers(content, &[EPOCH, EPOCH_BEGAN, LOG_ENTRY, REVISION])
}

/// Reads numbers with these names, each at most once.
fn numbers(text: &str, names: &[&'static str]) -> Result<ServedChange, RecordDamage> {
    let mut latest = ServedChange::default();
    let mut epoch = None;
    let mut left = names.to_vec();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let at = left.iter().position(|name| *name == word);
        let name = at.map(|at| left.swap_remove(at));
        let name = name.ok_or(RecordDamage::UnknownWord)?;
        let number = words.next().filter(|it| is_decimal(it));
        let number: Option<u64> = number.and_then(|it| it.parse().ok());
        let number = number.ok_or(RecordDamage::NoNumber(name))?;
        match name {
            EPOCH => epoch = Some(number),
            EPOCH_BEGAN => latest.epoch_began = Some(Timestamp(number)),
            LOG_ENTRY => latest.log_entry = Some(number),
            _ => latest.revision = number,
        }
    }
    latest.epoch = epoch.ok_or(RecordDamage::NoEpoch)?;
    Ok(latest)
}

fn is_decimal(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_of(content: &str) -> String {
    let mut digits = Digest::of_bytes(content.as_bytes()).to_hex();
    digits.truncate(CHECK_DIGITS);
    digits
}
