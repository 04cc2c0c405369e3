//! Errors of commands, for users and for scripts: one sentence, the fields concerned, the next step, and an exit
//! code. This module is the only place that maps the API's status codes to them.

use std::{fmt, process::ExitCode};

use tonic::{Code, Status};
use tonic_types::{PreconditionViolation, StatusExt as _};

use crate::cli::client::kind::ApiResourceKind;

/// Reason in the API's error details for an object that cannot be deleted because it is in use.
const IN_USE: &str = "IN_USE";

/// Kinds of errors. Their values are exit codes, on which scripts rely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CliErrorKind {
    /// Any other error.
    Error = 1,
    /// Invalid command line.
    Usage = 2,
    /// The object does not exist.
    NotFound = 3,
    /// Not authenticated, or not allowed.
    Denied = 4,
    /// The object exists already, was changed in the meantime, or is in use.
    Conflict = 5,
    /// No response, or temporarily unavailable.
    Unavailable = 6,
    /// Failed call through a gateway: an error in place of a result, or no response of the server.
    CallFailed = 7,
}

/// Error of a failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// Kind of the error.
    pub kind: CliErrorKind,
    /// Message in one sentence.
    pub message: String,
    /// Details such as fields, versions and locations, one per line.
    pub notes: Vec<String>,
    /// Advice on the next step.
    pub next_step: Option<String>,
}

impl CliError {
    /// Creates an error with its kind and message.
    pub fn new(kind: CliErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            message,
            notes: Vec::new(),
            next_step: None,
        }
    }

    /// Creates a general error.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(CliErrorKind::Error, message)
    }

    /// Creates an error of an invalid command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(CliErrorKind::Usage, message)
    }

    /// Sets the next step.
    #[must_use]
    pub fn with_next_step(mut self, step: impl Into<String>) -> Self {
        self.next_step = Some(step.into());
        self
    }

    /// Adds a line of detail.
    #[must_use]
    pub fn with_note(mut self, line: impl Into<String>) -> Self {
        self.notes.push(line.into());
        self
    }

    /// Prefixes the message with a location.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl fmt::Display) -> Self {
        self.message = format!("{prefix}: {}", self.message);
        self
    }

    /// Returns the exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        if let Some(next) = &self.next_step {
            write!(f, "\n  next: {next}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        let (kind, next) = kind_of_code(status.code());
        let mut fault = Self::new(kind, sentence(&status));
        let details = status.get_error_details();
        if let Some(request) = details.bad_request() {
            for violation in &request.field_violations {
                let line = format!("{}: {}", violation.field, violation.description);
                // The message of a single violation equals the violation.
                if line != fault.message {
                    fault = fault.with_note(line);
                }
            }
        }
        if let Some(failure) = details.precondition_failure() {
            // The message names the users of the object already.
            let is_violation = |violation: &&PreconditionViolation| violation.r#type != IN_USE;
            for violation in failure.violations.iter().filter(is_violation) {
                fault =
                    fault.with_note(format!("{}: {}", violation.subject, violation.description));
            }
        }
        let in_use = details
            .error_info()
            .is_some_and(|info| info.reason == IN_USE);
        if let Some(resource) = details.resource_info().filter(|_| !in_use) {
            fault = fault.with_note(format!(
                "{} {}",
                resource.resource_type, resource.resource_name
            ));
        }
        if let Some(info) = details.error_info() {
            let mut details: Vec<_> = info.metadata.iter().collect();
            details.sort();
            for (name, value) in details {
                fault = fault.with_note(format!("{name}: {value}"));
            }
        }
        let advice = details.help().and_then(|help| help.links.first());
        let advice = advice.map(|link| link.description.clone());
        // Details of a missing object usually name its kind.
        let absent = details
            .resource_info()
            .filter(|_| kind == CliErrorKind::NotFound);
        let list = absent.and_then(|resource| ApiResourceKind::parse(&resource.resource_type).ok());
        let list = list.map(|kind| format!("`toolgate get {}` lists what there is", kind.plural));
        fault.next_step = advice.or(list).or(next.map(str::to_owned));
        fault
    }
}

/// Converts the error of a role that could not be started. Each cause is one line; a cause that the line above ends
/// with is left out.
#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
pub fn from_startup_error(error: anyhow::Error) -> CliError {
    let mut causes = error.chain().map(ToString::to_string);
    let mut fault = CliError::error(causes.next().unwrap_or_default());
    for cause in causes {
        let above = fault.notes.last().unwrap_or(&fault.message);
        if !above.ends_with(&cause) {
            fault.notes.push(cause);
        }
    }
    fault
}

fn sentence(status: &Status) -> String {
    match status.message() {
        "" => format!("the control plane answered {:?}", status.code()),
        message => message.to_owned(),
    }
}

/// Maps a status code to a kind and a next step.
fn kind_of_code(code: Code) -> (CliErrorKind, Option<&'static str>) {
    match code {
        Code::NotFound => (
            CliErrorKind::NotFound,
            Some("`toolgate get KIND` lists what there is"),
        ),
        Code::Unauthenticated => (
            CliErrorKind::Denied,
            Some(
                "set TOOLGATE_TOKEN (or --token) to a valid admin token; `toolgate up` keeps its own in DATA_DIR/admin-token",
            ),
        ),
        Code::PermissionDenied => (
            CliErrorKind::Denied,
            Some(
                "use a token with a higher admin role; docs/admin-api.md names the right each call needs",
            ),
        ),
        Code::Aborted => (
            CliErrorKind::Conflict,
            Some("somebody changed it meanwhile: read it again, then repeat your change"),
        ),
        Code::AlreadyExists => (
            CliErrorKind::Conflict,
            Some("choose another name, or change what is there with `toolgate apply -f`"),
        ),
        Code::FailedPrecondition => (CliErrorKind::Conflict, None),
        Code::Unavailable | Code::DeadlineExceeded => (
            CliErrorKind::Unavailable,
            Some(
                "check that the control plane runs and that TOOLGATE_ADDR names it; `toolgate doctor` looks closer",
            ),
        ),
        Code::ResourceExhausted => (
            CliErrorKind::Unavailable,
            Some("try again in a few seconds"),
        ),
        Code::Unimplemented => (
            CliErrorKind::Error,
            Some("the control plane is older than this program: use the same version of both"),
        ),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => (CliErrorKind::Error, None),
    }
}

#[cfg(test)]
mod tests;
