//! Problem texts with advice. Operators read them in lists, so each text is one line.

use toolgate_client::{
    ClientError, ListingTruncation, ServerFacts, ServerListing, TimeoutPhase,
    error::{StatusProblem, shorten},
};
use toolgate_egress::{CertificateProblem, EgressErrorClass};
use toolgate_mcp::{
    cdn_loop::CdnLoopError,
    definition::{DefinitionKind, RejectedDefinition},
};
use toolgate_model::{Endpoint, ProbeFailure, ProbeProblem};

use crate::{port::HeaderError, target::ProbeTarget};

/// Maximum number of definitions that a text names.
const MAX_NAMED: usize = 5;

/// Maximum length of a problem text, in bytes.
const MAX_PROBLEM_BYTES: usize = 1500;

/// Returns the problem of a server that could not be probed.
pub fn of_failure(error: &ClientError, target: &ProbeTarget) -> String {
    let text = match error.reported_loop() {
        Some(CdnLoopError::PassedBefore) => {
            "the server is a gateway of this deployment; bind the servers behind it themselves, and delete this one"
        }
        Some(CdnLoopError::ChainTooLong) => {
            "the server is a gateway that reports a loop, or a chain of too many gateways; use the servers behind it"
        }
        None => &format!("{}; {}", error.public_message(), advice(error, target)),
    };
    bounded_line(text)
}

/// Returns the problem of a list that could not be read.
pub fn of_list(kind: DefinitionKind, error: &ClientError, target: &ProbeTarget) -> String {
    let (what, reason) = (noun(kind), error.public_message());
    if error.is_unknown_method() {
        return format!(
            "it says that it has {what}, and does not list them; have the server fixed"
        );
    }
    let advice = match error {
        // The server has introduced itself at this URL.
        ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::Frame(_)
        | ClientError::TooManyEvents(_) => "have the server fixed: its own log may say more",
        ClientError::Egress(_)
        | ClientError::Status(_)
        | ClientError::Timeout(_)
        | ClientError::NoCommonVersion { .. }
        | ClientError::Request(_)
        | ClientError::Exhausted
        | ClientError::TooLarge(_)
        | ClientError::Expansion(_)
        | ClientError::Broken(_) => advice(error, target),
    };
    format!("its {what} could not be listed: {reason}; {advice}")
}

/// Joins the problems of one probe into one.
pub fn join(problems: Vec<ProbeProblem>) -> Option<ProbeProblem> {
    let joined = problems
        .into_iter()
        .reduce(|all, next| all.joined(" / ", &next))?;
    Some(ProbeProblem {
        text: bounded_line(&joined.text),
        ..joined
    })
}

/// Returns the problem of a server that could not be probed, for people and programs.
pub fn failed_probe(error: &ClientError, target: &ProbeTarget) -> ProbeProblem {
    ProbeProblem::failed(of_failure(error, target), failure(error))
}

/// Returns the problem of a server whose endpoint after `unreached` others, to which no connection could be made, failed too.
pub fn of_last_endpoint(
    error: &ClientError,
    unreached: usize,
    target: &ProbeTarget,
) -> ProbeProblem {
    let text = format!(
        "endpoint {} of {}, after no connection to those before it: {}",
        unreached + 1,
        target.endpoints.count(),
        of_failure(error, target)
    );
    ProbeProblem::failed(bounded_line(&text), failure(error))
}

/// Returns a warning about the first endpoints of a server, to which no connection could be made;
/// `None` if there are none. It names origins as configured, and no path or query: these may hold a secret.
pub fn of_unreached(
    unreached: &[(&Endpoint, ClientError)],
    target: &ProbeTarget,
) -> Option<ProbeProblem> {
    let count = target.endpoints.count();
    let texts = unreached.iter().enumerate().map(|(at, (endpoint, error))| {
        format!(
            "endpoint {} of {count} ({}) is not used: {}",
            at + 1,
            endpoint.url.origin().ascii_serialization(),
            of_failure(error, target)
        )
    });
    join(texts.map(ProbeProblem::warning).collect())
}

/// Returns the problem of a list that could not be read, for people and programs.
pub fn unread_list(
    kind: DefinitionKind,
    error: &ClientError,
    target: &ProbeTarget,
) -> ProbeProblem {
    let text = of_list(kind, error, target);
    if error.is_unknown_method() {
        // The server has no such list, so that nothing is missing.
        return ProbeProblem::warning(text);
    }
    let cause = match failure(error) == ProbeFailure::NotMcp {
        // The server has introduced itself at this URL.
        true => ProbeFailure::ServerFault,
        false => failure(error),
    };
    ProbeProblem::incomplete(text, cause)
}

/// Returns the cause of a failed request.
fn failure(error: &ClientError) -> ProbeFailure {
    match error {
        ClientError::Egress(error) => match error.class() {
            EgressErrorClass::Denied => ProbeFailure::AddressDenied,
            EgressErrorClass::Unresolved => ProbeFailure::HostUnresolved,
            EgressErrorClass::Exhausted => ProbeFailure::ResourcesExhausted,
            EgressErrorClass::ForwardProxy => ProbeFailure::ForwardProxy,
            EgressErrorClass::Tls => ProbeFailure::Tls,
            EgressErrorClass::Unreachable | EgressErrorClass::Broken => ProbeFailure::Unreachable,
        },
        ClientError::Status(_) if error.reported_loop().is_some() => ProbeFailure::GatewayLoop,
        ClientError::Status(problem) => match problem.status.as_u16() {
            401 | 403 => ProbeFailure::Credential,
            300..=399 => ProbeFailure::Redirected,
            429 | 500..=599 => ProbeFailure::ServerFault,
            _ => ProbeFailure::NotMcp,
        },
        ClientError::Timeout(_) => ProbeFailure::Timeout,
        ClientError::Broken(_) => ProbeFailure::Unreachable,
        ClientError::TooLarge(_) => ProbeFailure::AnswerTooLarge,
        ClientError::Expansion(_) => ProbeFailure::ServerFault,
        ClientError::NoCommonVersion { .. } => ProbeFailure::ProtocolVersion,
        ClientError::Exhausted => ProbeFailure::Overloaded,
        ClientError::Request(_)
        | ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::Frame(_)
        | ClientError::TooManyEvents(_) => ProbeFailure::NotMcp,
    }
}

fn noun(kind: DefinitionKind) -> &'static str {
    match kind {
        DefinitionKind::Tool => "tools",
        DefinitionKind::Prompt => "prompts",
        DefinitionKind::Resource => "resources",
        DefinitionKind::Template => "resource templates",
    }
}

fn advice(error: &ClientError, target: &ProbeTarget) -> &'static str {
    match error {
        ClientError::Egress(error) => match error.certificate_problem() {
            Some(problem) => of_certificate(problem),
            None => of_egress(error.class()),
        },
        ClientError::Status(problem) => of_status(problem, target),
        ClientError::Timeout(TimeoutPhase::FirstByte) => {
            "check that it is up, or raise its `timeouts.firstByte`"
        }
        ClientError::Timeout(TimeoutPhase::Idle | TimeoutPhase::Total) => {
            "check its load, or raise its `timeouts`"
        }
        ClientError::NoCommonVersion { .. } => {
            "it has to speak 2026-07-28, 2025-11-25, 2025-06-18 or 2025-03-26"
        }
        ClientError::Request(_) => "correct its URL",
        ClientError::Exhausted => {
            "the control plane reads too many long lists at once; it will be tried again later"
        }
        ClientError::TooLarge(_) => "have the server send its lists in pages",
        ClientError::Expansion(_) => "its own log may say more",
        ClientError::Broken(_) => "check that it is up, and what stands between it and us",
        ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::Frame(_)
        | ClientError::TooManyEvents(_) => {
            "check that the URL is that of its MCP endpoint (Streamable HTTP), and its own log"
        }
    }
}

/// Returns the problem of a credential that cannot be used.
pub fn of_header(error: &HeaderError, target: &ProbeTarget) -> String {
    let id = target.credential.as_ref().map_or("", |c| c.id.as_str());
    bounded_line(&format!(
        "its credential `{id}` cannot be used: {error}; set its value again"
    ))
}

/// Returns the problem of a listing that was read; usually `None`. Limits that cut it, or leave out a definition, are not
/// among them.
pub fn of_listing(kind: DefinitionKind, listing: &ServerListing) -> Option<String> {
    let what = noun(kind);
    let mut parts = Vec::new();
    if listing.undeclared && !listing.definitions.is_empty() {
        parts.push(format!(
            "it lists {what} and declares none in its capabilities; have the server fixed"
        ));
    }
    let by_server = |cut: &&ListingTruncation| match cut {
        ListingTruncation::Time(_)
        | ListingTruncation::CursorLoop
        | ListingTruncation::Failed(_) => true,
        ListingTruncation::Pages(_)
        | ListingTruncation::Definitions(_)
        | ListingTruncation::Bytes(_) => false,
    };
    if let Some(cut) = listing.truncation.as_ref().filter(by_server) {
        parts.push(format!(
            "the list of its {what} is not complete: {cut}; have the server fixed"
        ));
    }
    let malformed = listing.rejected.iter().filter(|it| !it.reason.is_limit());
    if let Some(named) = named(malformed) {
        parts.push(format!(
            "{what} are left out: {named}; have the server fixed"
        ));
    }
    if let Some(names) = quoted(&listing.with_deceptive_text) {
        parts.push(format!(
            "{what} hold characters that are invisible or deceive a reader, which are shown as escapes: {names}; read \
             them before it is trusted"
        ));
    }
    if let Some(names) = quoted(&listing.with_deceptive_values) {
        parts.push(format!(
            "{what} hold characters that are invisible or deceive a reader in names or values, which are kept because programs \
             compare them: {names}; read them before it is trusted"
        ));
    }
    if let Some(names) = quoted(&listing.with_unsafe_icons) {
        parts.push(format!(
            "icons of {what} are left out, which are neither https URLs nor data URLs of bitmaps: {names}; have the server fixed"
        ));
    }
    if let Some(names) = quoted(&listing.with_case_variants) {
        parts.push(format!(
            "{what} have members whose names differ from those of the protocol by case only, which are removed: {names}; have \
             the server fixed"
        ));
    }
    if let Some(names) = quoted(&listing.with_unresolved_references) {
        parts.push(format!(
            "schemas refer to other documents, which are not fetched, or to parts that do not exist: {names}; output \
             schemas like that are left out, and clients may not be able to check arguments; have the server send complete \
             schemas"
        ));
    }
    (!parts.is_empty()).then(|| bounded_line(&parts.join(" / ")))
}

/// Returns what a limit of one definition leaves out of a list; usually `None`.
pub fn beyond_definition_limits(kind: DefinitionKind, listing: &ServerListing) -> Option<String> {
    let rejected = listing.rejected.iter().filter(|it| it.reason.is_limit());
    let (what, named) = (noun(kind), named(rejected)?);
    let text = format!("{what} are left out: {named}; have the server shorten or flatten them");
    Some(bounded_line(&text))
}

/// Names the first rejected definitions with the reasons, and counts the others.
fn named<'a>(rejected: impl Iterator<Item = &'a RejectedDefinition>) -> Option<String> {
    first_of(rejected.map(|it| format!("`{}`: {}", it.name, it.reason)))
}

/// Quotes the first names of a list, and counts the others.
fn quoted(names: &[String]) -> Option<String> {
    first_of(names.iter().map(|name| format!("`{name}`")))
}

/// Lists the first [`MAX_NAMED`] items, and counts the others. Returns `None` for an empty list.
fn first_of(items: impl Iterator<Item = String>) -> Option<String> {
    let mut listed: Vec<String> = items.collect();
    let rest = listed.len().saturating_sub(MAX_NAMED);
    listed.truncate(MAX_NAMED);
    let text = listed.join(", ");
    match (listed.len(), rest) {
        (0, _) => None,
        (_, 0) => Some(text),
        (_, rest) => Some(format!("{text}, and {rest} more")),
    }
}

/// Returns the problem of what a server reports about itself; usually `None`.
pub fn of_facts(facts: &ServerFacts) -> Option<String> {
    let members = &facts.deceptive_members;
    (!members.is_empty()).then(|| {
        format!(
            "its `{}` hold characters that are invisible or deceive a reader, which are shown as escapes; read them \
             before it is trusted",
            members.join("`, `")
        )
    })
}

/// Depends only on the class of the error. More detail would let the sender of a probe map the internal network.
fn of_egress(class: EgressErrorClass) -> &'static str {
    match class {
        EgressErrorClass::Denied => {
            "use a public https URL, or have the operator of Toolgate allow its network"
        }
        EgressErrorClass::Unresolved => {
            "check the host name in its URL, and the name servers of Toolgate"
        }
        EgressErrorClass::Unreachable => {
            "check that it is up, and the host name and port in its URL"
        }
        EgressErrorClass::Exhausted => {
            "have the operator of Toolgate raise the limit of open files of the control plane (`LimitNOFILE=`)"
        }
        EgressErrorClass::ForwardProxy => {
            "check the host name and port in its URL, or have the operator of Toolgate check the proxy: the log names it"
        }
        EgressErrorClass::Tls => {
            "check its certificate, and the certificate authorities that Toolgate is given"
        }
        EgressErrorClass::Broken => "check that it is up, and what stands between it and us",
    }
}

fn of_certificate(problem: CertificateProblem) -> &'static str {
    match problem {
        CertificateProblem::CaAsServer => {
            "give the server a certificate of its own, issued by that authority, and have Toolgate trust the authority"
        }
        CertificateProblem::Expired => "renew its certificate",
        CertificateProblem::NotYetValid => "check its certificate, and the clocks",
        CertificateProblem::OtherName => {
            "use a host name of the certificate in its URL, or give it a certificate for this one"
        }
        CertificateProblem::UnknownAuthority => {
            "have the operator of Toolgate trust the authority that issued it"
        }
    }
}

fn of_status(problem: &StatusProblem, target: &ProbeTarget) -> &'static str {
    match (problem.status.as_u16(), &target.credential) {
        (401, None) => "give it a credential",
        (401, Some(_)) => "check the value of its credential",
        // Firewalls answer like this, too.
        (403, None) => "give it a credential, or check what stands between it and us",
        (403, Some(_)) => "check the value of its credential, and what stands between it and us",
        (404 | 405, _) => "check the path in its URL",
        (429, _) => "it is asked too often; it will be tried again later",
        (300..=399, _) => "redirects are not followed: use the URL it leads to",
        (500..=599, _) => "look into its own log",
        _ => "check that the URL is that of its MCP endpoint (Streamable HTTP)",
    }
}

fn bounded_line(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(' ') {
        if out.len() + word.len() > MAX_PROBLEM_BYTES {
            out.push('…');
            break;
        }
        out.push_str(word);
    }
    if out.len() <= '…'.len_utf8() {
        return shorten(text);
    }
    out
}

#[cfg(test)]
mod tests;
