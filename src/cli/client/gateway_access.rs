//! Access to a gateway as an MCP client: its address and a token. Shared by `tools`, `prompts` and `resources`.

mod temporary_token;
mod token_limit;

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use self::temporary_token::TemporaryToken;
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions, AdminConnectionOptions},
        dial,
        gateway_address::{self, FoundEndpoint},
        kind::{CATALOGUE, GATEWAY, PROXY},
        known_token,
        mcp_client::McpClient,
        object_name,
        object_problem::{self, ObjectProblem},
        probe_result,
        stop_signal::StopSignals,
        suggestions, token_scope,
    },
    output::{
        OutputWriter,
        error::{CliError, CliErrorKind},
    },
};

/// Maximum time until a new token has reached the proxy.
const TOKEN_PROPAGATION_TIMEOUT: Duration = Duration::from_secs(3);
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// Objects of a list of tools, in words.
const TOOLS: &str = "tools";
/// Reason of the problem that a bound server was never probed with success.
const NOT_PROBED: &str = "NOT_PROBED";
/// Next step for arguments that are not a JSON object.
const ARGUMENTS_ADVICE: &str = "write one such as --args '{\"text\": \"hi\"}'; `toolgate tools describe` and `toolgate prompts list` show the \
     arguments";

/// Gateway, with the options to reach it.
#[derive(Debug, clap::Args)]
pub struct GatewayTarget {
    /// Id of the gateway.
    #[arg(long, add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub gateway: String,
    /// Token for the gateway. Without one, a token for two minutes is made with the admin token, and deleted after.
    #[arg(long, env = "TOOLGATE_GATEWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Address of a proxy, or of the balancer before them. Without it, the control plane is asked.
    #[arg(long, env = "TOOLGATE_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Address of the admin API; without it the address that `toolgate up` left in its data folder, or
    /// http://127.0.0.1:7400.
    #[arg(long, env = "TOOLGATE_ADDR", help_heading = "Connection")]
    pub addr: Option<String>,
    /// Admin token, to make a token and to find a proxy.
    #[arg(
        long,
        env = "TOOLGATE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub admin_token: Option<String>,
    /// Common options of every connection.
    #[command(flatten)]
    pub connection: AdminConnectionOptions,
}

impl GatewayTarget {
    /// Replaces the full resource name of the gateway by its id.
    pub fn localize(&mut self) -> Result<(), CliError> {
        let gateway = (&GATEWAY, &mut self.gateway);
        object_name::localize(&mut self.connection, [gateway])
    }

    /// Runs `work` with a client of the gateway. A token that was created for it is deleted afterwards, also if a signal ends the
    /// command.
    pub async fn with_client<T>(
        &self,
        work: impl AsyncFnOnce(&mut McpClient) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let mut admin = self.admin().connect()?;
        if let Some(token) = &self.token {
            let mut client = self.open(&mut admin, token).await?;
            return work(&mut client).await;
        }
        let mut signals = StopSignals::listen()?;
        let mut temporary = TemporaryToken::new(admin.clone());
        let working = async {
            let mut client = self.open_with_temporary(&mut admin, &mut temporary).await?;
            work(&mut client).await
        };
        let done = tokio::select! {
            done = working => done,
            ended = signals.next() => Err(ended),
        };
        temporary.delete(&mut signals).await;
        done
    }

    /// Connects with a token that was given.
    async fn open(&self, admin: &mut AdminClient, token: &str) -> Result<McpClient, CliError> {
        let mut client = self.client(admin, token.trim()).await?;
        // Discovery must be answered within the timeout; later requests may take longer.
        match client.discover().await {
            Ok(()) => Ok(client),
            Err(fault) => Err(self.explain_refusal(admin, token, fault).await),
        }
    }

    /// Connects with a new token.
    async fn open_with_temporary(
        &self,
        admin: &mut AdminClient,
        temporary: &mut TemporaryToken,
    ) -> Result<McpClient, CliError> {
        suggestions::require_gateway(admin, &self.gateway).await?;
        let secret = temporary.create(&self.gateway).await?;
        let mut client = self.client(admin, &secret).await?;
        wait_for_token(&mut client).await?;
        Ok(client)
    }

    async fn client(&self, admin: &mut AdminClient, secret: &str) -> Result<McpClient, CliError> {
        let endpoint = match &self.endpoint {
            Some(endpoint) => FoundEndpoint::given(endpoint),
            None => find_endpoint(admin, &self.gateway)
                .await
                .unwrap_or_else(|fault| FoundEndpoint::unknown(&fault.message)),
        };
        let url = endpoint_url(&endpoint.url, &self.gateway);
        let http = dial::http_client(self.connection.ca.as_deref())?;
        Ok(McpClient::new(http, url, secret.to_owned()).with_doubt(endpoint.doubt))
    }

    /// Adds the reason why the gateway refuses a token, which it does not tell itself, as far as the admin token may read
    /// tokens.
    async fn explain_refusal(
        &self,
        admin: &mut AdminClient,
        token: &str,
        fault: CliError,
    ) -> CliError {
        if !matches!(fault.kind, CliErrorKind::Denied | CliErrorKind::NotFound) {
            return fault;
        }
        let limit = dial::RESPONSE_TIMEOUT / 2;
        let known = tokio::time::timeout(limit, known_token::find(admin, token)).await;
        let now = crate::cli::now();
        let known = known.unwrap_or_default();
        let reasons = known
            .iter()
            .filter_map(|token| known_token::refusal(token, &self.gateway, now));
        let explained = reasons.fold(fault, CliError::with_note);
        let gateway = &self.gateway;
        let lost = known
            .iter()
            .find(|token| token_scope::lost_gateways(token).contains(&gateway.as_str()));
        let lost = lost.map(|token| crate::cli::output::cell::id(token, "/metadata/name"));
        if explained.notes.is_empty() {
            return explained;
        }
        let name = GATEWAY.resource_name(admin.organization(), gateway);
        let found = tokio::time::timeout(limit, admin.find(&GATEWAY, &name)).await;
        // A gateway that cannot be read may exist.
        let exists = !matches!(found, Ok(Ok(None)));
        explained.with_next_step(next_token(gateway, lost.as_deref(), exists))
    }

    /// Prints the reasons for an empty list of `what`, as far as the admin token may read them.
    pub async fn explain_empty(&self, out: &mut OutputWriter, what: &str) {
        let problems = async {
            let mut admin = self.admin().connect().ok()?;
            let name = GATEWAY.resource_name(admin.organization(), &self.gateway);
            let gateway = admin.get(&GATEWAY, &name).await.ok()?;
            let known = object_problem::problems(&gateway);
            let mut texts: Vec<String> = known.iter().map(|it| it.text.to_owned()).collect();
            // A server whose probes fail may also be reported as never probed; the failure is more informative.
            let bindings = gateway.pointer("/spec/bindings");
            let bindings = bindings.and_then(Value::as_array).into_iter().flatten();
            let servers = bindings.filter_map(|it| it["server"].as_str()).collect();
            for catalogue in admin.find_each(&CATALOGUE, servers).await {
                let server = crate::cli::output::cell::id(&catalogue, "/name");
                let Some(problem) = probe_result::problem(&catalogue) else {
                    continue;
                };
                // The problem of a server that was never reached repeats that of its probe.
                let is_same =
                    |it: &ObjectProblem<'_>| it.reason == NOT_PROBED && it.server == server;
                if !known.iter().any(is_same) {
                    texts.push(format!("server {server}: {}", problem.text));
                }
            }
            Some(texts)
        };
        out.notice(format_args!("no {what}"));
        let problems: Vec<String> = problems.await.unwrap_or_default();
        for problem in &problems {
            out.notice(format_args!("  {problem}"));
        }
        let gateway = &self.gateway;
        if self.token_limit().await.tell_empty(out, gateway, what) {
            return;
        }
        let offers = match what {
            TOOLS => format!("`toolgate gateway add-tool {gateway} SERVER/TOOL` offers one"),
            "prompts" => format!(
                "`allPrompts: true` in a binding offers those of its server: `toolgate edit gateway {gateway}`"
            ),
            _ => format!(
                "`resources: true` in a binding offers those of its server: `toolgate edit gateway {gateway}`"
            ),
        };
        out.notice(match problems.is_empty() {
            true => format!(
                "  next: `toolgate describe gateway {gateway}` shows its bindings, `toolgate describe server SERVER` what a \
                 server has; {offers}"
            ),
            false => "  next: `toolgate doctor` looks closer".to_owned(),
        });
    }

    fn admin(&self) -> AdminCommandOptions {
        AdminCommandOptions {
            addr: self.addr.clone(),
            token: self.admin_token.clone(),
            connection: self.connection.clone(),
        }
    }
}

/// Returns the next step for a token that a gateway refuses. `lost` is the id of a token that was given an earlier gateway of
/// this id.
fn next_token(gateway: &str, lost: Option<&str>, exists: bool) -> String {
    let step = match (lost, exists) {
        (Some(id), true) => format!(
            "`toolgate token update {id} --add-gateway {gateway}` lets the token open the gateway that exists now"
        ),
        (Some(id), false) => {
            format!("`toolgate token update {id} --add-gateway {gateway}` lets the token open it")
        }
        (None, _) => {
            format!("`toolgate token create NAME --gateway {gateway}` makes another token")
        }
    };
    match exists {
        true => step,
        false => format!(
            "there is no gateway {gateway} now: `toolgate gateway create {gateway} --server SERVER` makes one, then {step}"
        ),
    }
}

/// Waits until the proxy has received a new token.
async fn wait_for_token(client: &mut McpClient) -> Result<(), CliError> {
    let mut waited = Duration::ZERO;
    loop {
        match client.discover().await {
            Err(fault)
                if fault.kind == CliErrorKind::Denied && waited < TOKEN_PROPAGATION_TIMEOUT =>
            {
                tokio::time::sleep(RETRY_DELAY).await;
                waited += RETRY_DELAY;
            }
            done => return done,
        }
    }
}

/// Parses `--args`: a JSON object, `@FILE`, or `-`.
pub fn parse_arguments(given: &str) -> Result<Value, CliError> {
    let text = match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(PathBuf::from(file))
            .map_err(|error| CliError::usage(format!("cannot read {file}: {error}")))?,
        None if given == "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| CliError::usage(format!("cannot read standard input: {error}")))?,
        None => given.to_owned(),
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        CliError::usage(format!("--args is not JSON: {error}")).with_next_step(ARGUMENTS_ADVICE)
    })?;
    if value.is_object() {
        return Ok(value);
    }
    Err(CliError::usage("--args must be a JSON object").with_next_step(ARGUMENTS_ADVICE))
}

/// Replaces base64 data of images, sounds and files in a part of a result, for output on a terminal.
pub fn without_binary(part: &Value) -> Value {
    let mut part = part.clone();
    for pointer in ["/data", "/blob", "/resource/blob"] {
        if let Some(data) = part.pointer_mut(pointer)
            && let Some(length) = data.as_str().map(str::len)
        {
            *data = json!(format!("({} bytes, shown with -o json)", length / 4 * 3));
        }
    }
    part
}

/// Returns the address of a gateway as the control plane tells it. An admin token of an organization reads gateways and no
/// proxies.
pub async fn find_endpoint(
    admin: &mut AdminClient,
    gateway: &str,
) -> Result<FoundEndpoint, CliError> {
    let name = GATEWAY.resource_name(admin.organization(), gateway);
    let found = admin.find(&GATEWAY, &name).await;
    let urls = found.as_ref().ok().and_then(Option::as_ref);
    let urls = urls.and_then(|it| it["status"]["urls"].as_array());
    let told = urls.into_iter().flatten().filter_map(Value::as_str);
    let told: Vec<_> = told.map(str::to_owned).collect();
    if !told.is_empty() {
        return Ok(FoundEndpoint::among(&told, admin.addr()));
    }
    // No gateway of this name, no right to read it, or a control plane of an earlier version.
    let proxies = admin.list(&PROXY).await;
    let proxies = proxies.or_else(|fault| found.map(|_gateway| Vec::new()).map_err(|_| fault))?;
    let told = gateway_address::listeners(&proxies);
    Ok(FoundEndpoint::among(&told, admin.addr()))
}

/// Returns the endpoint of a gateway at the address of a proxy. The address may already contain the path of the
/// gateway.
pub fn endpoint_url(endpoint: &str, gateway: &str) -> String {
    let path = format!("/v1/mcp/{gateway}");
    let endpoint = endpoint.trim_end_matches('/');
    let endpoint = endpoint.strip_suffix(&path).unwrap_or(endpoint);
    let endpoint = if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        format!("http://{endpoint}")
    };
    format!("{endpoint}{path}")
}

/// Returns random characters for an id.
pub fn short_id() -> String {
    let id = toolgate_runtime::random::bytes::<6>();
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
