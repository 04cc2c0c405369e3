//! Label selectors as in Kubernetes: `team=ops`, `team!=ops`, `env in (a, b)`, `env notin (a, b)`, `team`, `!team`,
//! joined by commas.

use serde_json::Value;

use crate::cli::output::error::CliError;

/// Conditions on labels, all of which hold for the selected objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<LabelRequirement>,
}

/// Condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelRequirement {
    key: String,
    operator: LabelOperator,
}

/// Operator of a condition. As in Kubernetes, an object without the label fulfils the negative ones.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LabelOperator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl LabelSelector {
    /// Parses a selector.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        let requirements: Result<Vec<_>, CliError> = split(text)
            .into_iter()
            .map(|part| requirement(part.trim()).ok_or_else(|| not_understood(text, part)))
            .collect();
        Ok(Self {
            requirements: requirements?,
        })
    }

    /// Parses several selectors, all of which have to hold.
    pub fn parse_all(texts: &[String]) -> Result<Self, CliError> {
        let mut all = Self::default();
        for text in texts {
            all.requirements.extend(Self::parse(text)?.requirements);
        }
        Ok(all)
    }

    /// Returns `true` if it has no condition.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Returns `true` if the labels of an object fulfil all conditions.
    pub fn selects(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key).and_then(Value::as_str);
            let among = |values: &[String]| values.iter().any(|it| Some(it.as_str()) == value);
            match &requirement.operator {
                LabelOperator::In(values) => among(values),
                LabelOperator::NotIn(values) => !among(values),
                LabelOperator::Exists => value.is_some(),
                LabelOperator::Absent => value.is_none(),
            }
        })
    }
}

fn not_understood(text: &str, part: &str) -> CliError {
    let part = part.trim();
    let part = if part.is_empty() {
        "an empty one"
    } else {
        part
    };
    CliError::usage(format!(
        "the label selector `{text}` has a condition that is not understood: {part}"
    ))
    .with_next_step(
        "conditions are KEY=VALUE, KEY!=VALUE, 'KEY in (A, B)', 'KEY notin (A, B)', KEY and '!KEY', joined by commas",
    )
}

/// Splits a selector at the commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(text: &str) -> Option<LabelRequirement> {
    let of = |key: &str, operator| {
        let key = key.trim();
        is_word(key).then(|| LabelRequirement {
            key: key.to_owned(),
            operator,
        })
    };
    let one = |value: &str| {
        let value = value.trim();
        (value.is_empty() || is_word(value)).then(|| vec![value.to_owned()])
    };
    if let Some((key, value)) = text.split_once("!=") {
        return of(key, LabelOperator::NotIn(one(value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return of(key, LabelOperator::In(one(value)?));
    }
    if let Some(key) = text.strip_prefix('!') {
        return of(key, LabelOperator::Absent);
    }
    if let Some((before, list)) = text.split_once('(') {
        let list = list.strip_suffix(')')?;
        let values: Option<Vec<_>> = list.split(',').map(|it| one(it)?.pop()).collect();
        let (key, operator) = before.trim().split_once(char::is_whitespace)?;
        return match operator.trim() {
            "in" => of(key, LabelOperator::In(values?)),
            "notin" => of(key, LabelOperator::NotIn(values?)),
            _ => None,
        };
    }
    of(text, LabelOperator::Exists)
}

/// Returns `true` for a key or a value of letters, digits and the characters that names of labels use.
fn is_word(text: &str) -> bool {
    let is_allowed = |c: char| c.is_alphanumeric() || "-_./:@+".contains(c);
    !text.is_empty() && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests;
