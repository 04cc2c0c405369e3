//! Templates of `-o jsonpath`, as kubectl has them: text, and in braces paths, quoted text, `range PATH` and `end`.
//! The paths are those of RFC 9535, with the names of kubectl, in which a backslash precedes a dot.

use serde_json::Value;
use serde_json_path::JsonPath;

/// Parsed template.
#[derive(Debug, Clone)]
pub struct JsonPathTemplate {
    parts: Vec<TemplatePart>,
}

#[derive(Debug, Clone)]
enum TemplatePart {
    Text(String),
    Path(TemplatePath),
    Range(TemplatePath, Vec<TemplatePart>),
}

/// Path from the root of the result, or from the element of a range.
#[derive(Debug, Clone)]
struct TemplatePath {
    path: JsonPath,
    /// Path that is used if the root is a list: it has no member `items`.
    of_list: Option<JsonPath>,
    from_root: bool,
}

impl JsonPathTemplate {
    /// Parses a template. One without braces is a path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let braced;
        let text = match text.contains('{') {
            true => text,
            false => {
                braced = format!("{{{text}}}");
                &braced
            }
        };
        let mut open: Vec<(TemplatePath, Vec<TemplatePart>)> = Vec::new();
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some((before, after)) = rest.split_once('{') else {
                parts.push(TemplatePart::Text(rest.to_owned()));
                break;
            };
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_owned()));
            }
            let end = closing_brace(after).ok_or("`{` has no `}`")?;
            let (inside, after) = (after[..end].trim(), &after[end + 1..]);
            rest = after;
            if let Some(path) = inside.strip_prefix("range ") {
                let outer = std::mem::take(&mut parts);
                open.push((path_of(path.trim())?, outer));
            } else if inside == "end" {
                let (path, outer) = open.pop().ok_or("`{end}` has no `{range …}`")?;
                let body = std::mem::replace(&mut parts, outer);
                parts.push(TemplatePart::Range(path, body));
            } else if inside.starts_with(['"', '\'']) {
                parts.push(TemplatePart::Text(unquoted(inside)?));
            } else {
                parts.push(TemplatePart::Path(path_of(inside)?));
            }
        }
        match open.is_empty() {
            true => Ok(Self { parts }),
            false => Err("`{range …}` has no `{end}`".to_owned()),
        }
    }

    /// Fills the template in with a value.
    pub fn fill(&self, value: &Value) -> String {
        let mut text = String::new();
        fill(&self.parts, value, value, &mut text);
        text
    }
}

fn fill(parts: &[TemplatePart], root: &Value, element: &Value, text: &mut String) {
    for part in parts {
        match part {
            TemplatePart::Text(own) => text.push_str(own),
            TemplatePart::Path(path) => {
                let found = path.found(root, element).into_iter().map(plain);
                *text += &found.collect::<Vec<_>>().join(" ");
            }
            TemplatePart::Range(path, body) => {
                for element in path.found(root, element) {
                    fill(body, root, element, text);
                }
            }
        }
    }
}

impl TemplatePath {
    fn found<'a>(&self, root: &'a Value, element: &'a Value) -> Vec<&'a Value> {
        let from = if self.from_root { root } else { element };
        let path = match &self.of_list {
            Some(of_list) if from.is_array() => of_list,
            Some(_) | None => &self.path,
        };
        path.query(from).all()
    }
}

/// Formats a value: a string without quotes, everything else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the position of the brace that ends an expression, outside of quotes.
fn closing_brace(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (None, '}') => return Some(index),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (_, _) => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Result<String, String> {
    let quote = text.chars().next().unwrap_or('"');
    let inner = text[1..].strip_suffix(quote);
    let inner = inner.ok_or_else(|| format!("{text} does not end with {quote}"))?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    Ok(out)
}

fn path_of(text: &str) -> Result<TemplatePath, String> {
    let from_root = text.starts_with('$');
    let segments = segments(text.trim_start_matches(['$', '@']))?;
    let parse = |segments: &[String]| {
        let path = format!("${}", segments.concat());
        JsonPath::parse(&path).map_err(|error| format!("`{text}` is not a path: {error}"))
    };
    let of_list = match segments.split_first() {
        Some((first, others)) if first == "['items']" => Some(parse(others)?),
        Some(_) | None => None,
    };
    Ok(TemplatePath {
        path: parse(&segments)?,
        of_list,
        from_root,
    })
}

/// Splits a path into segments of RFC 9535. Names are quoted, because kubectl's may hold characters such as `-`.
fn segments(path: &str) -> Result<Vec<String>, String> {
    let mut segments = Vec::new();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        if c == '[' {
            let end = closing_bracket(rest).ok_or_else(|| format!("`{rest}` has no `]`"))?;
            segments.push(rest[..=end].to_owned());
            rest = &rest[end + 1..];
            continue;
        }
        let recursive = rest.starts_with("..");
        let name = rest.trim_start_matches('.');
        if !rest.starts_with('.') && !segments.is_empty() {
            return Err(format!("`{rest}` begins with neither `.` nor `[`"));
        }
        let (name, after) = split_name(name);
        let descent = if recursive { ".." } else { "" };
        match name.as_str() {
            "" => {
                if recursive && after.starts_with('[') {
                    segments.push("..".to_owned());
                }
            }
            "*" => segments.push(format!("{descent}[*]")),
            name => {
                let quoted = name.replace('\\', "\\\\").replace('\'', "\\'");
                segments.push(format!("{descent}['{quoted}']"));
            }
        }
        rest = after;
    }
    Ok(segments)
}

/// Splits off a name, which ends at a dot or a bracket without a backslash.
fn split_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | '[' => return (name, &text[index..]),
            c => name.push(c),
        }
    }
    (name, "")
}

/// Returns the position of the bracket that ends a segment, outside of quotes.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (None, '[') => depth += 1,
            (None, ']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(index);
                }
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (_, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
