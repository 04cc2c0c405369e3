//! Errors of commands, for users and for scripts: one sentence, the fields concerned, the next step, and an exit
//! code. This module is the only place that maps the API's status codes to them.

mod advice;
mod field_names;

use std::{fmt, process::ExitCode};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::cli::client::kind::ApiResourceKind;

/// Next step for a limit that is exceeded.
const LIMIT_ADVICE: &str = "stay below the limit, or divide it among several objects; docs/limits.md lists the limits, and the settings of those \
     that can be raised";
/// Next step for a control plane that answers, and cannot serve the request for now.
const RETRY_ADVICE: &str = "repeat the command in a few seconds; `toolgate doctor` looks closer";

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
    /// Ended by SIGHUP. Shells report 128 and the number of the signal, for this and the next codes.
    HungUp = 129,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

/// Reasons in the error details of the API and of gateways that commands tell apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ApiErrorReason {
    /// Any other reason, or none.
    #[default]
    Other,
    /// The object was changed since it was read.
    Stale,
    /// An object of this name exists.
    AlreadyExists,
    /// Other objects depend on the object.
    InUse,
    /// A limit is exceeded.
    Limit,
    /// The caller lacks a right.
    MissingRight,
    /// The control plane does not know the method.
    Unimplemented,
    /// A field names an object that does not exist.
    NoSuchReference,
    /// A field has no value, and none is stored.
    NoValue,
    /// A gateway whose prefix allows one binding has several.
    NotSingle,
    /// A server has an endpoint outside of the origins of its credential.
    CredentialElsewhere,
    /// The credential of a server is bound to no origin.
    CredentialUnbound,
    /// The URL of a server has a query parameter that its credential sets.
    CredentialRepeated,
    /// A gateway does not offer the tool to the caller.
    UnknownTool,
}

impl ApiErrorReason {
    fn of(code: Code, details: &ErrorDetails) -> Self {
        if code == Code::Unimplemented {
            return Self::Unimplemented;
        }
        match details.error_info().map(|info| info.reason.as_str()) {
            Some("STALE") => Self::Stale,
            Some("ALREADY_EXISTS") => Self::AlreadyExists,
            Some("IN_USE") => Self::InUse,
            Some("LIMIT") => Self::Limit,
            Some("MISSING_RIGHT") => Self::MissingRight,
            Some(_) | None => Self::of_field(details),
        }
    }

    /// Returns the reason why a field is invalid. A control plane of an earlier version gives none.
    fn of_field(details: &ErrorDetails) -> Self {
        let request = details.bad_request();
        let violation = request.and_then(|request| request.field_violations.first());
        match violation.map(|violation| violation.reason.as_str()) {
            Some("NO_SERVER" | "NO_CREDENTIAL" | "NO_GATEWAY") => Self::NoSuchReference,
            Some("NO_VALUE") => Self::NoValue,
            Some("NOT_SINGLE") => Self::NotSingle,
            Some("CREDENTIAL_ELSEWHERE") => Self::CredentialElsewhere,
            Some("CREDENTIAL_UNBOUND") => Self::CredentialUnbound,
            Some("CREDENTIAL_REPEATED") => Self::CredentialRepeated,
            Some(_) | None => Self::Other,
        }
    }
}

/// Error of a failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// Kind of the error.
    pub kind: CliErrorKind,
    /// Reason in the error details.
    pub reason: ApiErrorReason,
    /// Message in one sentence.
    pub message: String,
    /// Details such as fields, versions and locations, one per line.
    pub notes: Vec<String>,
    /// Advice on the next step.
    pub next_step: Option<String>,
    /// Full names of the objects that depend on an object which cannot be deleted because of them.
    pub dependents: Vec<String>,
    /// Full name of an object that does not exist, if this is the error.
    pub missing: Option<Box<str>>,
}

impl CliError {
    /// Creates an error with its kind and message.
    pub fn new(kind: CliErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            reason: ApiErrorReason::default(),
            message,
            notes: Vec::new(),
            next_step: None,
            dependents: Vec::new(),
            missing: None,
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

    /// Names the flags of a command in place of the fields that the message and the notes begin with. `flags` holds
    /// fields and their flags; the first entry that fits is taken.
    #[must_use]
    pub fn with_flags(mut self, flags: &[(&str, &str)]) -> Self {
        for line in std::iter::once(&mut self.message).chain(&mut self.notes) {
            if let Some(replaced) = field_names::with_flag(line, flags) {
                *line = replaced;
            }
        }
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
        let details = status.get_error_details();
        let mut fault = Self::new(kind, sentence(&status));
        fault.reason = ApiErrorReason::of(status.code(), &details);
        if let Some(request) = details.bad_request() {
            for violation in &request.field_violations {
                let field = field_names::in_documents(&violation.field);
                fault.message = field_names::renamed(&fault.message, &violation.field, &field);
                let description =
                    field_names::renamed(&violation.description, &violation.field, &field);
                let line = match description.starts_with(&*field) {
                    true => description,
                    false => format!("{field}: {description}"),
                };
                // The message of a single violation equals the violation.
                if line != fault.message {
                    fault = fault.with_note(line);
                }
            }
        }
        let in_use = fault.reason == ApiErrorReason::InUse;
        if let Some(failure) = details.precondition_failure() {
            for violation in &failure.violations {
                // The message names the users of the object already.
                match in_use {
                    true => fault.dependents.push(violation.subject.clone()),
                    false => {
                        let (subject, reason) = (&violation.subject, &violation.description);
                        fault = fault.with_note(format!("{subject}: {reason}"));
                    }
                }
            }
        }
        let fault = fault.with_facts(status.code(), &details);
        let next = fault.known_step(&details).or_else(|| {
            let is_busy = status.code() == Code::Unavailable && details.error_info().is_some();
            let is_limit = fault.reason == ApiErrorReason::Limit;
            let next = match (is_limit, is_busy) {
                (true, _) => Some(LIMIT_ADVICE),
                (false, true) => Some(RETRY_ADVICE),
                (false, false) => next,
            };
            next.map(str::to_owned)
        });
        Self {
            next_step: next,
            ..fault
        }
    }
}

impl CliError {
    /// Adds the object and the facts in the error details that the message does not hold already.
    fn with_facts(self, code: Code, details: &ErrorDetails) -> Self {
        let mut fault = self;
        let is_missing =
            fault.kind == CliErrorKind::NotFound || fault.reason == ApiErrorReason::NoSuchReference;
        let resource = details.resource_info();
        fault.missing = resource
            .filter(|_| is_missing)
            .map(|resource| resource.resource_name.as_str().into());
        // The message of an invalid field, of a limit, or of an object in use names the object and the facts.
        let is_told = code == Code::InvalidArgument || fault.reason == ApiErrorReason::Limit;
        let in_use = fault.reason == ApiErrorReason::InUse;
        if let Some(resource) = resource.filter(|_| !in_use && !is_told) {
            fault = fault.with_note(format!(
                "{} {}",
                resource.resource_type, resource.resource_name
            ));
        }
        if let Some(info) = details.error_info().filter(|_| !is_told) {
            let mut details: Vec<_> = info.metadata.iter().collect();
            details.sort();
            for (name, value) in details {
                fault = fault.with_note(format!("{name}: {value}"));
            }
        }
        fault
    }

    /// Returns the next step that the error details name, or that follows from them.
    fn known_step(&self, details: &ErrorDetails) -> Option<String> {
        let given = details.help().and_then(|help| help.links.first());
        let given = given.map(|link| link.description.clone());
        // Details of a missing object usually name its kind.
        let absent = details
            .resource_info()
            .filter(|_| self.kind == CliErrorKind::NotFound);
        let list = absent.and_then(|resource| ApiResourceKind::parse(&resource.resource_type).ok());
        let list = list.map(|kind| format!("`toolgate get {}` lists what there is", kind.plural));
        let organization = details.resource_info().filter(|it| {
            ApiResourceKind::parse(&it.resource_type).is_ok_and(|kind| !kind.in_organization)
        });
        let organization = organization.and_then(|it| it.resource_name.rsplit('/').next());
        let free = advice::of_dependents(&self.dependents, organization);
        let own = advice::of_refusal(self.reason, details);
        given.or(list).or(free).or(own)
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
