//! Advice for a failed probe, chosen by its cause.

use toolgate_model::{ProbeFailure, ProbeProblem};

/// Server whose probe failed.
#[derive(Debug, Clone, Copy)]
pub struct FailedServer<'a> {
    /// Id of the server.
    pub id: &'a str,
    /// URL that was asked, or all of them, joined by `, `.
    pub url: &'a str,
    /// Command that reads the values of its credential; `None` if it has none.
    pub set_credential: Option<&'a str>,
}

/// Returns advice for `problem` of a server.
pub fn advice_for_probe(problem: &ProbeProblem, target: FailedServer<'_>) -> String {
    let FailedServer { id, url, .. } = target;
    // One URL would take the place of all endpoints.
    let correct = match url.contains(", ") {
        true => format!("`toolgate edit server {id}`"),
        false => format!("`toolgate server update {id} --url URL`"),
    };
    let Some(failure) = problem.failure else {
        return format!(
            "see that the server runs and that {url} is the whole address of its MCP endpoint; if not: {correct}"
        );
    };
    match failure {
        ProbeFailure::GatewayLoop => format!(
            "bind the servers behind {url} themselves, and delete this one: `toolgate server delete {id}`; if another address was meant: {correct}"
        ),
        ProbeFailure::AddressDenied => format!(
            "start Toolgate, control planes and proxies, with `--egress-allow CIDR` for the network of {url}; or give {id} \
             another address: {correct}"
        ),
        ProbeFailure::Credential => match target.set_credential {
            None => format!(
                "{id} has no credential: `toolgate credential set {id} --server {id}` reads a value, such as `Bearer …`, and presents \
                 it to {url}"
            ),
            Some(command) => format!("`{command}` reads a value that {url} accepts"),
        },
        ProbeFailure::HostUnresolved => format!(
            "see that the host name of {url} is written correctly and known where the control plane runs; to correct it: {correct}"
        ),
        ProbeFailure::ResourcesExhausted => {
            "raise the limit of open files of the control plane (`ulimit -n`, `LimitNOFILE=` of systemd)".to_owned()
        }
        ProbeFailure::ForwardProxy => {
            "see the log of the control plane, which names the proxy and its answer, and its settings `--https-proxy` and \
             `--no-proxy`"
                .to_owned()
        }
        ProbeFailure::Unreachable => {
            format!("see that the server runs and that {url} is its address; if not: {correct}")
        }
        ProbeFailure::Timeout => format!(
            "see that the server behind {url} runs and is not overloaded; `timeouts` in `toolgate edit server {id}` gives it more \
             time, such as `timeouts: {{firstByte: 120s}}`"
        ),
        ProbeFailure::Tls => format!(
            "see that {url} should be https and whose certificate it has: `--egress-ca FILE` trusts one more authority; \
             if the address is wrong: {correct}"
        ),
        ProbeFailure::ServerFault => {
            format!("mend the server; if it should be another one than {url}: {correct}")
        }
        ProbeFailure::AnswerTooLarge => format!(
            "let the server send its lists in pages, or allow larger answers: `toolgate server update {id} --max-answer MIB`"
        ),
        ProbeFailure::ProtocolVersion => format!(
            "`toolgate server update {id} --protocol-version 2025-06-18` pins a version that the server speaks, if it speaks one \
             of Toolgate's"
        ),
        ProbeFailure::Overloaded => {
            format!("`toolgate server probe {id}` in a moment")
        }
        ProbeFailure::UnstableDefinitions => {
            "let the server announce and change its lists only when its tools change".to_owned()
        }
        ProbeFailure::StoreFull => {
            "give the store more room: `toolgate doctor` names its quota and the setting".to_owned()
        }
        ProbeFailure::Redirected => format!(
            "find out where {url} leads to, for example with `curl -sI {url}`, and use that address: {correct}"
        ),
        ProbeFailure::NotMcp => format!(
            "see that {url} is the whole address of its MCP endpoint, path included; if not: {correct}"
        ),
    }
}

#[cfg(test)]
mod tests;
