//! Advice for a failed probe, chosen by its error message.

/// Class of a failed probe, derived from its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeFailureClass {
    /// The egress policy does not allow the address.
    Address,
    /// The server requires a credential, or a different one.
    Credential,
    /// The host name has no address.
    HostName,
    /// The control plane has no resources for more connections.
    Exhausted,
    /// There is no way through the proxy that is set.
    ForwardProxy,
    /// The server does not answer.
    Unreachable,
    /// The server has not answered in time.
    Slow,
    /// The TLS handshake failed.
    Tls,
    /// The server itself is faulty.
    Server,
    /// An answer is larger than permitted.
    TooLarge,
    /// The server speaks none of the versions of the protocol.
    Version,
    /// The control plane has no room for the answer now.
    Busy,
    /// The address leads to another one.
    Redirect,
    /// The address is not that of an MCP server, or the path is wrong.
    NotMcp,
}

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
pub fn advice_for_probe(problem: &str, target: FailedServer<'_>) -> String {
    let FailedServer { id, url, .. } = target;
    // One URL would take the place of all endpoints.
    let correct = match url.contains(", ") {
        true => format!("`toolgate edit server {id}`"),
        false => format!("`toolgate server update {id} --url URL`"),
    };
    match classify(problem) {
        ProbeFailureClass::Address => format!(
            "start Toolgate, control planes and proxies, with `--egress-allow CIDR` for the network of {url}; or give {id} \
             another address: {correct}"
        ),
        ProbeFailureClass::Credential => match target.set_credential {
            None => format!(
                "{id} has no credential: `toolgate credential set {id} --server {id}` reads a value, such as `Bearer …`, and presents \
                 it to {url}"
            ),
            Some(command) => format!("`{command}` reads a value that {url} accepts"),
        },
        ProbeFailureClass::HostName => format!(
            "see that the host name of {url} is written correctly and known where the control plane runs; to correct it: {correct}"
        ),
        ProbeFailureClass::Exhausted => {
            "raise the limit of open files of the control plane (`ulimit -n`, `LimitNOFILE=` of systemd)".to_owned()
        }
        ProbeFailureClass::ForwardProxy => {
            "see the log of the control plane, which names the proxy and its answer, and its settings `--https-proxy` and \
             `--no-proxy`"
                .to_owned()
        }
        ProbeFailureClass::Unreachable => {
            format!("see that the server runs and that {url} is its address; if not: {correct}")
        }
        ProbeFailureClass::Slow => format!(
            "see that the server behind {url} runs and is not overloaded; `timeouts` in `toolgate edit server {id}` gives it more \
             time, such as `timeouts: {{firstByte: 120s}}`"
        ),
        ProbeFailureClass::Tls => format!(
            "see that {url} should be https and whose certificate it has: `--egress-ca FILE` trusts one more authority; \
             if the address is wrong: {correct}"
        ),
        ProbeFailureClass::Server => {
            format!("mend the server; if it should be another one than {url}: {correct}")
        }
        ProbeFailureClass::TooLarge => format!(
            "let the server send its lists in pages, or allow larger answers: `toolgate server update {id} --max-answer MIB`"
        ),
        ProbeFailureClass::Version => format!(
            "`toolgate server update {id} --protocol-version 2025-06-18` pins a version that the server speaks, if it speaks one \
             of Toolgate's"
        ),
        ProbeFailureClass::Busy => {
            format!("`toolgate server probe {id}` in a moment")
        }
        ProbeFailureClass::Redirect => format!(
            "find out where {url} leads to, for example with `curl -sI {url}`, and use that address: {correct}"
        ),
        ProbeFailureClass::NotMcp => format!(
            "see that {url} is the whole address of its MCP endpoint, path included; if not: {correct}"
        ),
    }
}

fn classify(problem: &str) -> ProbeFailureClass {
    let contains_any = |words: &[&str]| words.iter().any(|word| problem.contains(word));
    if contains_any(&["not permitted to connect", "not allowed"]) {
        ProbeFailureClass::Address
    } else if contains_any(&["HTTP 401", "HTTP 403", "its credential"]) {
        ProbeFailureClass::Credential
    } else if contains_any(&["host name has no address"]) {
        ProbeFailureClass::HostName
    } else if contains_any(&["no resources for more connections"]) {
        ProbeFailureClass::Exhausted
    } else if contains_any(&["through the proxy"]) {
        ProbeFailureClass::ForwardProxy
    } else if contains_any(&["no connection", "the connection broke", "broke off"]) {
        ProbeFailureClass::Unreachable
    } else if contains_any(&["took too long"]) {
        ProbeFailureClass::Slow
    } else if contains_any(&["no secure connection"]) {
        ProbeFailureClass::Tls
    } else if contains_any(&["is larger than"]) {
        ProbeFailureClass::TooLarge
    } else if contains_any(&["no version of the protocol"]) {
        ProbeFailureClass::Version
    } else if contains_any(&["there is no room"]) {
        ProbeFailureClass::Busy
    } else if contains_any(&["HTTP 3"]) {
        ProbeFailureClass::Redirect
    } else if contains_any(&["HTTP 5", "HTTP 429", "have the server fixed", "left out"]) {
        ProbeFailureClass::Server
    } else {
        ProbeFailureClass::NotMcp
    }
}

/// Signs of what a probe remarks about a server that has answered.
const REMARKS: [&str; 5] = [
    "declares none in its capabilities",
    " is not complete: ",
    " are left out: ",
    "are invisible or deceive a reader",
    "and does not list them",
];

/// Sign of a list that could not be read from a server that has answered.
const UNREAD_LIST: &str = "could not be listed";

/// Returns `true` if the server has answered the probe that found a problem.
pub fn has_answered(problem: &str) -> bool {
    let is_of_answer = |part: &str| is_remark(part) || part.contains(UNREAD_LIST);
    problem.split(" / ").all(is_of_answer)
}

/// Returns `true` if the problem of a probe consists of remarks about what the server offers. Such a probe has not failed:
/// the server has answered, and what is in order is offered.
pub fn is_remark(problem: &str) -> bool {
    let mut parts = problem.split(" / ");
    parts.all(|part| REMARKS.iter().any(|sign| part.contains(sign)))
}

#[cfg(test)]
mod tests;
