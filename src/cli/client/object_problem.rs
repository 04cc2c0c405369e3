//! Problems in the status of gateways and tokens. Commands decide on the details of a problem; its text is for people.

use serde_json::Value;

/// Problem of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectProblem<'a> {
    /// Description with the next step. Starts with the field, if there is one.
    pub text: &'a str,
    /// Field concerned; may be empty.
    pub field: &'a str,
    /// Kind of the problem; may be empty.
    pub reason: &'a str,
    /// Id of the server concerned; may be empty.
    pub server: &'a str,
    /// Name of the tool or prompt concerned as used by that server; may be empty.
    pub original_name: &'a str,
    /// True if the object works all the same.
    pub is_warning: bool,
}

/// Returns the problems of an object. A control plane of an earlier version sends texts only, which are errors.
pub fn problems(object: &Value) -> Vec<ObjectProblem<'_>> {
    let status = &object["status"];
    let details = status["problemDetails"].as_array();
    match details.filter(|details| !details.is_empty()) {
        Some(details) => details.iter().map(of_details).collect(),
        None => {
            let texts = status["problems"].as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).map(of_text).collect()
        }
    }
}

fn of_details(details: &Value) -> ObjectProblem<'_> {
    let word = |member: &str| details[member].as_str().unwrap_or_default();
    ObjectProblem {
        text: word("text"),
        field: word("field"),
        reason: word("reason"),
        server: word("server"),
        original_name: word("originalName"),
        is_warning: word("severity") == "PROBLEM_SEVERITY_WARNING",
    }
}

fn of_text(text: &str) -> ObjectProblem<'_> {
    ObjectProblem {
        text,
        field: "",
        reason: "",
        server: "",
        original_name: "",
        is_warning: false,
    }
}

impl<'a> ObjectProblem<'a> {
    /// Returns the text without the field.
    pub fn sentence(&self) -> &'a str {
        let text = self.text.strip_prefix(self.field);
        text.map_or(self.text, |rest| rest.trim_start_matches([':', ' ']))
    }
}

#[cfg(test)]
mod tests;
