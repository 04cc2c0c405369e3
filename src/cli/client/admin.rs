//! Client of the admin API: calls any method with proto JSON requests and responses.

pub mod calls;
pub mod changes;
mod failure;
mod status;
pub mod write_retry;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use http::uri::PathAndQuery;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::{
    Request, Response, Status,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use toolgate_egress::ControlConnector;
use toolgate_wire::CONSISTENCY_HEADER;

use crate::cli::{
    client::{
        dial,
        kind::ApiResourceKind,
        schema::{self, DynamicCodec},
    },
    output::{
        error::{CliError, CliErrorKind},
        warn,
    },
};

use status::{
    is_connect_error, is_result_unknown, is_store_unavailable, is_transient, not_ready,
    reason_of_old_state, timeout_status,
};

/// Timeout of a request.
const REQUEST_TIMEOUT: Duration = dial::RESPONSE_TIMEOUT;
/// Timeout of a probe request. The control plane answers it after the probed server has responded, which may be
/// slow.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
/// Method that probes a server.
const PROBE_METHOD: &str = "RefreshCatalogue";
/// Maximum size of a response in bytes: a page of a thousand objects.
const MAX_RESPONSE_BYTES: usize = 128 * 1024 * 1024;
/// Number of objects per page of a list request.
const PAGE_SIZE: u32 = 500;

/// Default data folder of `toolgate up`.
pub const DATA_DIR: &str = ".toolgate";
/// File in the data folder of `toolgate up` that holds the address of its admin API while it runs.
pub const ADDRESS_FILE: &str = "admin-address";
/// Default address of the admin API.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7400";

/// Time for which a write is repeated under its request id while its result is unknown.
const REPEAT_PERIOD: Duration = Duration::from_secs(10);
/// Pause before the first repetition, doubled before each further one.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);

/// Note for a write that has certainly not happened.
const NOT_WRITTEN: &str = "nothing was written";
/// Note for a write that may have happened.
const MAYBE_WRITTEN: &str =
    "it is unknown whether this was written: `toolgate get` shows it as soon as the store answers";

/// Options for reaching the admin API.
#[derive(Debug, Clone, clap::Args)]
pub struct AdminCommandOptions {
    /// Address of the admin API; without it the file `admin-address` in the data folder of `toolgate up` is read, if it
    /// is there, and http://127.0.0.1:7400 tried if not.
    #[arg(long, env = "TOOLGATE_ADDR", help_heading = "Connection")]
    pub addr: Option<String>,
    /// Admin token; without it the file `admin-token` in the data folder of `toolgate up` is read, if it is there.
    #[arg(
        long = "token",
        id = "admin_token",
        env = "TOOLGATE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub token: Option<String>,
    /// Common options of every connection.
    #[command(flatten)]
    pub connection: AdminConnectionOptions,
}

/// Options of a connection to the admin API beside its address and token.
#[derive(Debug, Clone, clap::Args)]
pub struct AdminConnectionOptions {
    /// Organization of the objects named.
    #[arg(
        short = 'O',
        long = "organization",
        env = "TOOLGATE_ORGANIZATION",
        default_value = "default",
        help_heading = "Connection"
    )]
    pub organization: String,
    /// Certificate authority of the admin API, PEM, beside those the system trusts.
    #[arg(
        long,
        env = "TOOLGATE_CA",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub ca: Option<PathBuf>,
    /// Folder with the files of `toolgate up`.
    #[arg(
        long,
        env = "TOOLGATE_DATA_DIR",
        default_value = DATA_DIR,
        value_name = "DIR",
        help_heading = "Connection"
    )]
    pub data_dir: PathBuf,
}

/// Connection to the admin API. Cheap to clone.
#[derive(Clone)]
pub struct AdminClient {
    grpc: Grpc<Channel>,
    connector: ControlConnector,
    bearer: Option<MetadataValue<Ascii>>,
    addr: String,
    addr_file: Option<PathBuf>,
    token_file: PathBuf,
    organization: String,
    /// True until the control plane cannot tell whether its state is the latest.
    reads_latest: bool,
}

impl AdminCommandOptions {
    /// Creates the client. Nothing is sent yet: only unusable settings fail.
    pub fn connect(&self) -> Result<AdminClient, CliError> {
        let bearer = self.token()?.map(|token| bearer(&token)).transpose()?;
        let addr = self.address();
        let (channel, connector) = dial::channel(&addr, self.connection.ca.as_deref())?;
        let grpc = Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
        let organization = self.connection.organization.clone();
        Ok(AdminClient {
            grpc,
            connector,
            bearer,
            addr,
            addr_file: self.addr.is_none().then(|| self.address_file()),
            token_file: self.token_file(),
            organization,
            reads_latest: true,
        })
    }

    /// Returns the admin token: the given one, else the one in the data folder of `toolgate up`.
    pub fn token(&self) -> Result<Option<String>, CliError> {
        match &self.token {
            Some(token) => Ok(Some(token.clone())),
            None => self.read_token_file(),
        }
    }

    /// Returns the address of the admin API: the given address, else the address in the data folder of a running
    /// `toolgate up`, else the default address.
    pub fn address(&self) -> String {
        let address_from_file = || std::fs::read_to_string(self.address_file()).ok();
        let given = self.addr.clone().or_else(address_from_file);
        let given = given.map(|address| address.trim().to_owned());
        given
            .filter(|address| !address.is_empty())
            .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned())
    }

    fn address_file(&self) -> PathBuf {
        self.connection.data_dir.join(ADDRESS_FILE)
    }

    /// Path of the file in which `toolgate up` stores its admin token.
    pub fn token_file(&self) -> PathBuf {
        self.connection.data_dir.join("admin-token")
    }

    fn read_token_file(&self) -> Result<Option<String>, CliError> {
        let file = self.token_file();
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(
                CliError::error(format!("cannot read {}: {error}", file.display())).with_next_step(
                    "set TOOLGATE_TOKEN, or run as the user that started `toolgate up`",
                ),
            ),
        }
    }
}

/// Status that a request ended with.
struct FailedAttempt {
    status: Status,
    /// False if the request was certainly not sent.
    sent: bool,
}

impl AdminClient {
    /// Address of the admin API.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Organization of short names.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// Returns `true` if requests carry a token.
    pub fn has_token(&self) -> bool {
        self.bearer.is_some()
    }

    /// Returns `false` once the control plane could not tell whether its state is the latest.
    pub fn reads_latest(&self) -> bool {
        self.reads_latest
    }

    /// Calls `service/method`.
    pub async fn call(
        &mut self,
        service: &str,
        method: &str,
        request: Value,
    ) -> Result<Value, CliError> {
        let answer = self.call_unary(service, method, request).await?;
        schema::to_json(answer.get_ref())
    }

    /// Returns the clock of the control plane in Unix milliseconds, if the response has a `date` header. Success
    /// proves that the control plane answers and accepts the token.
    pub async fn server_time(&mut self) -> Result<Option<u64>, CliError> {
        let request = json!({ "pageSize": 1 });
        let answer = self
            .call_unary("Organizations", "ListOrganizations", request)
            .await?;
        let date = answer
            .metadata()
            .get("date")
            .and_then(|date| date.to_str().ok());
        let at = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Ok(at.and_then(|at| u64::try_from(at.timestamp().as_millisecond()).ok()))
    }

    async fn call_unary(
        &mut self,
        service: &str,
        method: &str,
        request: Value,
    ) -> Result<Response<DynamicMessage>, CliError> {
        let may_repeat = request["requestId"].is_string();
        let started = tokio::time::Instant::now();
        let mut pause = REPEAT_PAUSE;
        let mut maybe_written = false;
        loop {
            let FailedAttempt { status, sent } =
                match self.attempt(service, method, &request).await? {
                    Ok(answer) => return Ok(answer),
                    Err(failed) => failed,
                };
            if !may_repeat
                && self.reads_latest
                && let Some(cause) = reason_of_old_state(&status)
            {
                self.reads_latest = false;
                warn(format_args!(
                    "{cause}; what {} shows may be out of date",
                    self.addr
                ));
                continue;
            }
            maybe_written |= may_repeat && sent && is_result_unknown(&status);
            let repeats = may_repeat && (maybe_written || is_store_unavailable(&status));
            if !repeats || !is_transient(&status) || started.elapsed() + pause > REPEAT_PERIOD {
                let error = self.explained(status).await;
                let transient = error.kind == CliErrorKind::Unavailable;
                return Err(match (maybe_written, may_repeat && transient) {
                    (true, _) if transient => error.with_note(MAYBE_WRITTEN),
                    (false, true) => error.with_note(NOT_WRITTEN),
                    (true | false, _) => error,
                });
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Sends a request once.
    async fn attempt(
        &mut self,
        service: &str,
        method: &str,
        request: &Value,
    ) -> Result<Result<Response<DynamicMessage>, FailedAttempt>, CliError> {
        let method = schema::method(service, method)?;
        let message = schema::from_json(method.input(), request)?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path =
            PathAndQuery::try_from(path).map_err(|error| CliError::error(error.to_string()))?;
        let codec = DynamicCodec {
            response: method.output(),
        };
        let deadline = match method.name() == PROBE_METHOD {
            true => PROBE_TIMEOUT,
            false => REQUEST_TIMEOUT,
        };
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        // Commands in a row may reach different control planes.
        if self.reads_latest {
            let latest = MetadataValue::from_static("latest");
            request.metadata_mut().insert(CONSISTENCY_HEADER, latest);
        }
        if let Some(bearer) = &self.bearer {
            request
                .metadata_mut()
                .insert("authorization", bearer.clone());
        }
        let grpc = &mut self.grpc;
        let mut sent = false;
        let answered = tokio::time::timeout(deadline, async {
            let ready = grpc.ready().await;
            ready.map_err(not_ready)?;
            sent = true;
            grpc.unary(request, path, codec).await
        });
        let answered = answered
            .await
            .unwrap_or_else(|_elapsed| Err(timeout_status()));
        Ok(answered.map_err(|status| FailedAttempt {
            sent: sent && !is_connect_error(&status),
            status,
        }))
    }

    /// Returns one object by its full resource name.
    pub async fn get(&mut self, kind: &ApiResourceKind, name: &str) -> Result<Value, CliError> {
        self.call(
            kind.service,
            &format!("Get{}", kind.name),
            json!({ "name": name }),
        )
        .await
    }

    /// Returns one object, or `None` if it does not exist.
    pub async fn find(
        &mut self,
        kind: &ApiResourceKind,
        name: &str,
    ) -> Result<Option<Value>, CliError> {
        match self.get(kind, name).await {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.kind == CliErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Returns the objects with these ids that can be read: one request for each, however many objects there are.
    pub async fn find_each(&mut self, kind: &ApiResourceKind, ids: BTreeSet<&str>) -> Vec<Value> {
        let mut found = Vec::new();
        for id in ids {
            let name = kind.resource_name(&self.organization, id);
            found.extend(self.find(kind, &name).await.ok().flatten());
        }
        found
    }

    /// Returns all objects of a kind, page by page.
    pub async fn list(&mut self, kind: &ApiResourceKind) -> Result<Vec<Value>, CliError> {
        self.list_pages(kind, usize::MAX).await
    }

    /// Returns the objects of a kind on its first pages.
    pub async fn list_pages(
        &mut self,
        kind: &ApiResourceKind,
        most: usize,
    ) -> Result<Vec<Value>, CliError> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        for _page in 0..most {
            let mut request = json!({ "pageSize": PAGE_SIZE, "pageToken": page_token });
            if kind.in_organization {
                request["parent"] = json!(format!("organizations/{}", self.organization));
            }
            let method = format!("List{}", kind.service);
            let mut page = self.call(kind.service, &method, request).await?;
            if let Some(Value::Array(items)) = page.get_mut(kind.json_list()).map(Value::take) {
                found.extend(items);
            }
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => page_token = next.to_owned(),
                Some(_) | None => break,
            }
        }
        Ok(found)
    }

    /// Creates an object under `id` and returns the response of the API. For tokens it holds the secret.
    pub async fn create(
        &mut self,
        kind: &ApiResourceKind,
        id: &str,
        object: Value,
        dry_run: bool,
    ) -> Result<Value, CliError> {
        let mut request = json!({ "dryRun": dry_run, "requestId": request_id() });
        request[kind.json_field()] = object;
        request[format!("{}Id", kind.json_field())] = json!(id);
        if kind.in_organization {
            request["parent"] = json!(format!("organizations/{}", self.organization));
        }
        self.call(kind.service, &format!("Create{}", kind.name), request)
            .await
    }

    /// Replaces an object's spec, labels and display name.
    pub async fn update(
        &mut self,
        kind: &ApiResourceKind,
        object: Value,
        dry_run: bool,
    ) -> Result<Value, CliError> {
        let mut request = json!({ "dryRun": dry_run, "requestId": request_id() });
        request[kind.json_field()] = object;
        self.call(kind.service, &format!("Update{}", kind.name), request)
            .await
    }

    /// Deletes an object regardless of its version.
    pub async fn delete(
        &mut self,
        kind: &ApiResourceKind,
        name: &str,
        dry_run: bool,
    ) -> Result<(), CliError> {
        let request = json!({ "name": name, "dryRun": dry_run, "requestId": request_id() });
        self.call(kind.service, &format!("Delete{}", kind.name), request)
            .await
            .map(drop)
    }

    /// Replaces the organization of the options.
    #[must_use]
    pub fn with_organization(mut self, organization: &str) -> Self {
        organization.clone_into(&mut self.organization);
        self
    }
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, CliError> {
    let text = format!("Bearer {}", token.trim());
    let mut value: MetadataValue<Ascii> = text.parse().map_err(|_| {
        CliError::usage("the admin token holds characters that no token has").with_next_step(
            "give the token alone, without quotes and line ends, with --token or TOOLGATE_TOKEN",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn request_id() -> String {
    toolgate_runtime::random::id()
}

#[cfg(test)]
mod tests;
