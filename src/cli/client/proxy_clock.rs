//! Clock of a proxy, as its control plane compares it with its own.

use serde_json::Value;
use toolgate_model::ClockReading;

use crate::cli::output::cell;

/// Returns the comparison; `None` if the control plane has none.
pub fn reading(proxy: &Value) -> Option<ClockReading> {
    let error = milliseconds(&proxy["clockError"]).unwrap_or_default();
    Some(ClockReading {
        ahead_ms: milliseconds(&proxy["clockOffset"])?,
        error_ms: u64::try_from(error).unwrap_or_default(),
    })
}

/// Summarizes the clock for a table: `ok`, or the difference.
pub fn cell(proxy: &Value) -> String {
    match reading(proxy) {
        None => "-".to_owned(),
        Some(clock) if !clock.is_off() => "ok".to_owned(),
        Some(clock) => {
            let sign = if clock.ahead_ms > 0 { "+" } else { "-" };
            format!("{sign}{}", cell::format_duration(clock.distance_secs()))
        }
    }
}

/// Describes a clock that is off; `None` if it agrees or is not known.
pub fn problem(proxy: &Value) -> Option<String> {
    let clock = reading(proxy).filter(ClockReading::is_off)?;
    let direction = match clock.ahead_ms > 0 {
        true => "ahead of",
        false => "behind",
    };
    let distance = cell::format_duration(clock.distance_secs());
    Some(format!(
        "its clock is {distance} {direction} that of its control plane"
    ))
}

/// Parses a duration such as `-180.500s`.
fn milliseconds(duration: &Value) -> Option<i64> {
    let seconds = duration.as_str()?.strip_suffix('s')?;
    let (is_negative, seconds) = match seconds.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, seconds),
    };
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let whole: i64 = whole.parse().ok()?;
    let total = whole
        .checked_mul(1000)?
        .checked_add(fraction.parse().ok()?)?;
    Some(if is_negative { -total } else { total })
}

#[cfg(test)]
mod tests;
