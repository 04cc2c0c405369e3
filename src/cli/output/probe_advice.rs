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
    /// There is no way through the proxy that is set.
    ForwardProxy,
    /// The server does not answer.
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// The server itself is faulty.
    Server,
    /// The address is not that of an MCP server, or the path is wrong.
    NotMcp,
}

/// Returns advice for `problem` of the server `id` at `url`. `credential` is the name of its credential, or empty.
pub fn advice_for_probe(problem: &str, id: &str, url: &str, credential: &str) -> String {
    let correct = format!(
        "`toolgate get server {id} -o yaml > {id}.yaml`, correct it, `toolgate apply -f {id}.yaml`"
    );
    match classify(problem) {
        ProbeFailureClass::Address => format!(
            "start Toolgate, control planes and proxies, with `--egress-allow CIDR` for the network of {url}; or give {id} \
             another address: {correct}"
        ),
        ProbeFailureClass::Credential if credential.is_empty() => format!(
            "{id} has no credential: `toolgate credential set {id} --server {id}` reads a value, such as `Bearer …`, and presents \
             it to {url}"
        ),
        ProbeFailureClass::Credential => format!(
            "`toolgate credential set {credential}` reads a value that {url} accepts into the credential {credential}"
        ),
        ProbeFailureClass::HostName => format!(
            "see that the host name of {url} is written correctly and known where the control plane runs; to correct it: {correct}"
        ),
        ProbeFailureClass::ForwardProxy => {
            "see the log of the control plane, which names the proxy and its answer, and its settings `--https-proxy` and \
             `--no-proxy`"
                .to_owned()
        }
        ProbeFailureClass::Unreachable => {
            format!("see that the server runs and that {url} is its address; if not: {correct}")
        }
        ProbeFailureClass::Tls => format!(
            "see that {url} should be https and whose certificate it has: `--egress-ca FILE` trusts one more authority; \
             if the address is wrong: {correct}"
        ),
        ProbeFailureClass::Server => {
            format!("mend the server; if it should be another one than {url}: {correct}")
        }
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
    } else if contains_any(&["through the proxy"]) {
        ProbeFailureClass::ForwardProxy
    } else if contains_any(&["no connection", "the connection broke", "broke off"]) {
        ProbeFailureClass::Unreachable
    } else if contains_any(&["no secure connection"]) {
        ProbeFailureClass::Tls
    } else if contains_any(&["HTTP 5", "HTTP 429", "have the server fixed", "left out"]) {
        ProbeFailureClass::Server
    } else {
        ProbeFailureClass::NotMcp
    }
}

#[cfg(test)]
mod tests;
