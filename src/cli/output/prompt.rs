//! Input at the command line that is no argument: secrets, which must not appear in a list of processes, and
//! questions.

use std::io::{self, IsTerminal as _, Read as _};

use console::Term;

use crate::cli::output::{cell, error::CliError};

/// Maximum size of a secret in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Reads a secret: at a terminal without echo, otherwise all of standard input. Line ends at its end are left out.
pub fn read_secret(prompt: &str) -> Result<String, CliError> {
    let unreadable = |error: io::Error| CliError::error(format!("cannot read {prompt}: {error}"));
    let text = if io::stdin().is_terminal() {
        let terminal = Term::stderr();
        terminal
            .write_str(&format!("{prompt}: "))
            .and_then(|()| terminal.read_secure_line())
            .map_err(unreadable)?
    } else {
        let mut text = String::new();
        io::stdin()
            .take(MAX_SECRET_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        text
    };
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(CliError::usage(format!(
            "{prompt}: more than {MAX_SECRET_BYTES} bytes"
        )));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads secrets: at a terminal one after another without echo, otherwise from standard input. Several are one line each;
/// a single one is all of it, as with [`read_secret`].
pub fn read_secrets(prompts: &[String]) -> Result<Vec<String>, CliError> {
    if prompts.len() < 2 || io::stdin().is_terminal() {
        return prompts.iter().map(|prompt| read_secret(prompt)).collect();
    }
    let text = read_secret("the values")?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() == prompts.len() {
        return Ok(lines);
    }
    Err(CliError::usage(format!(
        "standard input has {} for {} values",
        cell::counted(lines.len(), "line", "lines"),
        prompts.len()
    ))
    .with_next_step(format!("pass one line each: {}", prompts.join(", "))))
}

/// Asks a question at the terminal. Returns `None` if there is no terminal to ask at.
pub fn confirm(question: &str) -> Option<bool> {
    let terminal = Term::stderr();
    if !io::stdin().is_terminal() || !terminal.is_term() {
        return None;
    }
    terminal.write_str(&format!("{question} [y/N] ")).ok()?;
    let answer = terminal.read_line().ok()?;
    Some(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
