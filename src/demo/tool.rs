//! Definitions and implementations of the tools. Their only external input is the time that is passed in.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_model::Timestamp;

/// Outcome of a tool call.
#[derive(Debug, PartialEq)]
pub enum ToolCallOutcome {
    /// Result of `tools/call`, without the members that an era adds.
    Done(Value),
    /// Call that runs step by step.
    Slow(SlowToolOptions),
    /// Unknown tool.
    Unknown,
}

/// Number and duration of the steps of the slow tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowToolOptions {
    /// Number of steps.
    pub count: u64,
    /// Duration of a step.
    pub delay: Duration,
}

impl SlowToolOptions {
    /// Maximum number of steps per call.
    pub const MAX_STEPS: u64 = 1000;
    /// Maximum duration of a step in milliseconds.
    pub const MAX_DELAY_MILLIS: u64 = 10_000;

    /// Parses the arguments of a call.
    pub fn from_arguments(arguments: &Value) -> Result<Self, String> {
        let number = |name: &str, default, least, most| {
            let value = arguments.get(name).map_or(Some(default), Value::as_u64);
            let fits = value.filter(|value| (least..=most).contains(value));
            fits.ok_or_else(|| format!("`{name}` must be a whole number from {least} to {most}"))
        };
        let count = number("steps", 5, 1, Self::MAX_STEPS)?;
        let delay = Duration::from_millis(number("delayMs", 200, 0, Self::MAX_DELAY_MILLIS)?);
        Ok(Self { count, delay })
    }
}

/// Tool definitions, in listing order.
pub fn definitions() -> [Value; 4] {
    [
        json!({
            "name": "add",
            "title": "Add",
            "description": "Adds two numbers.",
            "inputSchema": {
                "type": "object",
                "properties": { "a": { "type": "number" }, "b": { "type": "number" } },
                "required": ["a", "b"],
            },
            "outputSchema": {
                "type": "object",
                "properties": { "sum": { "type": "number" } },
                "required": ["sum"],
            },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        }),
        json!({
            "name": "echo",
            "title": "Echo",
            "description": "Returns the text that it was given.",
            "inputSchema": {
                "type": "object",
                "properties": { "text": { "type": "string", "description": "What to say." } },
                "required": ["text"],
            },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        }),
        json!({
            "name": "slow",
            "title": "Slow",
            "description": "Works for a while, step by step, and tells its progress. It can be cancelled.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "steps": { "type": "integer", "minimum": 1, "maximum": SlowToolOptions::MAX_STEPS, "default": 5 },
                    "delayMs": { "type": "integer", "minimum": 0, "maximum": SlowToolOptions::MAX_DELAY_MILLIS, "default": 200 },
                },
            },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        }),
        json!({
            "name": "time",
            "title": "Time in a zone",
            "description": "Tells the time in a time zone of the IANA database, e.g. Europe/Berlin.",
            "inputSchema": {
                "type": "object",
                "properties": { "zone": { "type": "string", "default": "UTC" } },
            },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        }),
    ]
}

/// Calls the tool `name`.
pub fn call(name: &str, arguments: &Value, now: Timestamp) -> ToolCallOutcome {
    match name {
        "add" => ToolCallOutcome::Done(add(arguments)),
        "echo" => ToolCallOutcome::Done(match arguments["text"].as_str() {
            Some(text) => text_result(text),
            None => error_result("`text` must be a string"),
        }),
        "slow" => match SlowToolOptions::from_arguments(arguments) {
            Ok(steps) => ToolCallOutcome::Slow(steps),
            Err(reason) => ToolCallOutcome::Done(error_result(&reason)),
        },
        "time" => ToolCallOutcome::Done(time(arguments, now)),
        _ => ToolCallOutcome::Unknown,
    }
}

fn add(arguments: &Value) -> Value {
    let (Some(a), Some(b)) = (arguments["a"].as_f64(), arguments["b"].as_f64()) else {
        return error_result("`a` and `b` must be numbers");
    };
    let whole = arguments["a"].as_i64().zip(arguments["b"].as_i64());
    let sum = match whole.and_then(|(a, b)| a.checked_add(b)) {
        Some(sum) => json!(sum),
        None => json!(a + b),
    };
    let structured = json!({ "sum": sum });
    json!({ "content": [{ "type": "text", "text": sum.to_string() }], "structuredContent": structured })
}

fn time(arguments: &Value, now: Timestamp) -> Value {
    let zone = arguments.get("zone").map_or(Some("UTC"), Value::as_str);
    let Some(zone) = zone else {
        return error_result("`zone` must be a string");
    };
    let instant = i64::try_from(now.0)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let there = instant.and_then(|instant| instant.in_tz(zone).ok());
    match there {
        Some(there) => text_result(&there.strftime("%Y-%m-%d %H:%M:%S %Z (%A)").to_string()),
        None => error_result(&format!(
            "there is no time zone {zone:?}; name one like Europe/Berlin"
        )),
    }
}

/// Returns a result with one text.
pub fn text_result(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

/// Returns an error result, for the model to read.
fn error_result(reason: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": reason }], "isError": true })
}

#[cfg(test)]
mod tests;
