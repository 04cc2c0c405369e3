//! Columns of the tables of each kind. The names of a kind and its place in resource names come from its row in
//! `shared/model/src/kind.rs`.

use serde_json::Value;
use toolgate_model::{ObjectKind, for_each_kind};

use crate::cli::client::{proxy_clock, proxy_state::ProxyState, server_health, token_scope};
use crate::cli::output::{
    cell::{age, count, enum_word, id, joined, joined_strings, text, version},
    credential_fields::field_list,
    error::CliError,
    nearest_name::nearest,
};

/// Kind of object.
#[derive(Debug)]
pub struct ApiResourceKind {
    /// Name in documents, such as `Gateway`.
    pub name: &'static str,
    /// Collection in resource names, such as `gateways`.
    pub plural: &'static str,
    /// Service of the admin API, such as `Gateways`.
    pub service: &'static str,
    /// Short names at the command line.
    pub short: &'static [&'static str],
    /// True if its objects belong to an organization.
    pub in_organization: bool,
    /// True if operators write it; false if it is only observed.
    pub desired: bool,
    /// Kind in the table that all kinds are declared in.
    pub kind: ObjectKind,
}

/// Column of a table.
pub struct TableColumn {
    /// Heading of the column.
    pub heading: &'static str,
    /// True if the column is shown with `-o wide` only.
    pub wide: bool,
    /// Formats the cell of an object, at a time in Unix milliseconds.
    pub text: fn(&Value, u64) -> String,
}

impl std::fmt::Debug for TableColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.heading)
    }
}

const fn column(heading: &'static str, text: fn(&Value, u64) -> String) -> TableColumn {
    TableColumn {
        heading,
        wide: false,
        text,
    }
}

const fn wide(heading: &'static str, text: fn(&Value, u64) -> String) -> TableColumn {
    TableColumn {
        heading,
        wide: true,
        text,
    }
}

const NAME: TableColumn = column("NAME", |o, _| id(o, "/metadata/name"));
const AGE: TableColumn = column("AGE", |o, now| age(o, "/metadata/createTime", now));
const TITLE: TableColumn = wide("TITLE", |o, _| text(o, "/metadata/displayName"));

const fn api_kind(kind: ObjectKind) -> ApiResourceKind {
    ApiResourceKind {
        name: kind.message(),
        plural: kind.collection(),
        service: kind.service(),
        short: kind.short_names(),
        in_organization: kind.is_in_organization(),
        desired: kind.is_desired(),
        kind,
    }
}

macro_rules! define_resource_kinds {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        /// All kinds. Objects refer only to kinds that come before their own.
        pub static ALL: [ApiResourceKind; ObjectKind::ALL.len()] = [
            $(api_kind(ObjectKind::$D),)*
            $(api_kind(ObjectKind::$O),)*
        ];
    };
}

for_each_kind!(define_resource_kinds);

/// Credential that proxies present to a server.
pub static CREDENTIAL: ApiResourceKind = api_kind(ObjectKind::Credential);
/// MCP server behind gateways.
pub static SERVER: ApiResourceKind = api_kind(ObjectKind::Server);
/// Issuer of tokens of callers.
pub static IDENTITY_PROVIDER: ApiResourceKind = api_kind(ObjectKind::IdentityProvider);
/// MCP endpoint for clients.
pub static GATEWAY: ApiResourceKind = api_kind(ObjectKind::Gateway);
/// Bearer token.
pub static TOKEN: ApiResourceKind = api_kind(ObjectKind::Token);
/// Data-plane process.
pub static PROXY: ApiResourceKind = api_kind(ObjectKind::Proxy);
/// Definitions that a probe found on a server.
pub static CATALOGUE: ApiResourceKind = api_kind(ObjectKind::Definitions);

/// Columns of a kind without a row in [`COLUMNS`].
static USUAL_COLUMNS: &[TableColumn] = &[NAME, TITLE, AGE];

/// Columns of the tables of the kinds.
static COLUMNS: &[(ObjectKind, &[TableColumn])] = &[
    (
        ObjectKind::Credential,
        &[
            NAME,
            TITLE,
            column("FIELDS", |o, _| field_list(o)),
            column("HOSTS", |o, _| credential_hosts(o)),
            AGE,
        ],
    ),
    (
        ObjectKind::Server,
        &[
            NAME,
            TITLE,
            column("URL", |o, _| server_urls(o)),
            column("CREDENTIAL", |o, _| text(o, "/spec/credential")),
            column("PROBE", probe_state),
            column("PROXIES", |o, _| server_health::cell(o)),
            wide("ERA", |o, _| enum_word(o, "/spec/era", "probe")),
            wide("DRIFT", |o, _| enum_word(o, "/spec/drift", "follow")),
            wide("MAY ASK FOR", |o, _| relayed_requests(o)),
            wide("MAX ANSWER", |o, _| max_answer(o)),
            wide("LIMITS", |o, _| limits(o)),
            AGE,
        ],
    ),
    (
        ObjectKind::IdentityProvider,
        &[
            NAME,
            TITLE,
            column("ISSUER", |o, _| text(o, "/spec/issuer")),
            column("AUDIENCES", |o, _| joined_strings(o, "/spec/audiences")),
            column("KEYS", provider_keys),
            wide("ALGORITHMS", |o, _| joined_strings(o, "/spec/algorithms")),
            AGE,
        ],
    ),
    (
        ObjectKind::Gateway,
        &[
            NAME,
            TITLE,
            column("PATH", |o, _| text(o, "/status/path")),
            column("SERVERS", |o, _| joined(o, "/spec/bindings", "server")),
            column("TOOLS", |o, _| count(o, "/status/tools")),
            column("PROMPTS", |o, _| count(o, "/status/prompts")),
            wide("RESOURCES OF", |o, _| {
                joined_strings(o, "/status/resources")
            }),
            column("PROBLEMS", |o, _| count(o, "/status/problems")),
            wide("IDENTITY PROVIDERS", |o, _| {
                joined(o, "/spec/identityProviders", "provider")
            }),
            wide("PREFIX", |o, _| enum_word(o, "/spec/prefix", "always")),
            wide("LISTING", |o, _| enum_word(o, "/spec/listing", "all")),
            wide("LIMITS", |o, _| limits(o)),
            AGE,
        ],
    ),
    (
        ObjectKind::Token,
        &[
            NAME,
            TITLE,
            column("FOR", |o, _| token_scope::subject_cell(o)),
            column("GATEWAYS", |o, _| token_scope::gateways_cell(o)),
            column("ROLE", |o, _| enum_word(o, "/spec/adminRole", "none")),
            column("STATE", token_scope::state),
            wide("TOOLS", |o, _| token_scope::tools_cell(o)),
            wide("LIMITS", |o, _| limits(o)),
            wide("BEGINS", |o, _| text(o, "/status/hint")),
            wide("EXPIRES", |o, _| token_scope::expiry_cell(o)),
            AGE,
        ],
    ),
    (
        ObjectKind::Proxy,
        &[
            column("NAME", |o, _| id(o, "/name")),
            column("REGION", |o, _| text(o, "/region")),
            column("STATE", |o, _| ProxyState::of(o).to_string()),
            column("WANTED", |o, _| version(o, "/wanted")),
            column("HELD", |o, _| version(o, "/held")),
            column("ACKED", |o, _| version(o, "/acked")),
            column("REFUSED", |o, _| count(o, "/refusals")),
            column("SEEN", |o, now| age(o, "/lastSeenTime", now)),
            column("CLOCK", |o, _| proxy_clock::cell(o)),
            wide("LISTEN", |o, _| text(o, "/listen")),
            wide("BUILD", |o, _| text(o, "/build")),
            column("AGE", |o, now| age(o, "/startTime", now)),
        ],
    ),
    (
        ObjectKind::Definitions,
        &[
            column("NAME", |o, _| id(o, "/name")),
            column("ERA", |o, _| text(o, "/era")),
            column("VERSION", |o, _| text(o, "/protocolVersion")),
            column("TOOLS", |o, _| count(o, "/tools")),
            column("PROMPTS", |o, _| count(o, "/prompts")),
            column("RESOURCES", |o, _| count(o, "/resources")),
            wide("TEMPLATES", |o, _| count(o, "/templates")),
            column("PROBED", |o, now| age(o, "/probeTime", now)),
            column("PROBLEM", |o, _| text(o, "/problem")),
            wide("SERVER", |o, _| text(o, "/serverName")),
        ],
    ),
];

impl ApiResourceKind {
    /// Returns the columns of the tables of this kind.
    pub fn columns(&self) -> &'static [TableColumn] {
        let own = COLUMNS.iter().find(|(kind, _)| *kind == self.kind);
        own.map_or(USUAL_COLUMNS, |(_, columns)| columns)
    }

    /// Parses a kind from the command line: its name, plural or short name, ignoring case.
    pub fn parse(word: &str) -> Result<&'static Self, CliError> {
        let word = word.to_ascii_lowercase();
        let singular = word.strip_suffix('s').unwrap_or(&word);
        let means = |kind: &&Self| {
            kind.name.eq_ignore_ascii_case(&word)
                || kind.plural == word
                || kind.short.contains(&word.as_str())
                || kind.short.contains(&singular)
        };
        ALL.iter().find(means).ok_or_else(|| {
            let known: Vec<_> = ALL.iter().map(|kind| kind.plural).collect();
            let names = ALL.iter().flat_map(|kind| [kind.plural, kind.name]);
            let fault = CliError::usage(format!("there is no kind `{word}`"))
                .with_note(format!("kinds: {}", known.join(", ")))
                .with_next_step("`toolgate explain` describes the kinds");
            match nearest(&word, names) {
                Some(near) => fault.with_note(format!("did you mean `{}`?", near.to_lowercase())),
                None => fault,
            }
        })
    }

    /// Returns the kind of a document by its exact name, if operators write it.
    pub fn of_document(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|kind| kind.desired && kind.name == name)
    }

    /// Name of its field in the JSON form of requests, such as `identityProvider`.
    pub fn json_field(&self) -> String {
        lower_camel_case(self.name)
    }

    /// Name of the list of its objects in the JSON form of responses, such as `identityProviders`.
    pub fn json_list(&self) -> String {
        lower_camel_case(self.service)
    }

    /// Name at the command line, such as `gateway`.
    pub fn field(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Returns its field name with the indefinite article.
    pub fn with_article(&self) -> String {
        let field = self.field();
        let article = if field.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        };
        format!("{article} {field}")
    }

    /// Returns the full resource name of `id`. A full name is returned unchanged.
    pub fn resource_name(&self, organization: &str, id: &str) -> String {
        match id {
            full if full.contains('/') => full.to_owned(),
            id if self.in_organization => {
                format!("organizations/{organization}/{}/{id}", self.plural)
            }
            id => format!("{}/{id}", self.plural),
        }
    }

    /// Returns the resource name of an object of this kind.
    pub fn name_of<'a>(&self, object: &'a Value) -> &'a str {
        let pointer = if self.desired {
            "/metadata/name"
        } else {
            "/name"
        };
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Position in [`ALL`].
    pub fn rank(&self) -> usize {
        ALL.iter()
            .position(|kind| kind.name == self.name)
            .unwrap_or(ALL.len())
    }
}

/// Returns a name with a small first letter.
fn lower_camel_case(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// Summarizes the keys of an identity provider: their number, and the age of the problem of fetching them.
fn provider_keys(provider: &Value, now: u64) -> String {
    let status = &provider["status"];
    let listed = count(provider, "/spec/keys");
    let keys = match provider["spec"]["keys"].as_array() {
        Some(keys) if !keys.is_empty() => return listed,
        Some(_) | None => count(provider, "/status/keys"),
    };
    match status["problem"].as_str() {
        None | Some("") => keys,
        Some(_) => format!("{keys}, problem {}", age(status, "/problemSinceTime", now)),
    }
}

/// Lists the kinds of requests that a server may send to clients.
fn relayed_requests(server: &Value) -> String {
    let relay = &server["spec"]["relay"];
    let kinds = ["elicitation", "sampling", "roots"];
    let on: Vec<_> = kinds
        .into_iter()
        .filter(|kind| relay[*kind] == true)
        .collect();
    match on.is_empty() {
        true => "nothing".to_owned(),
        false => on.join(","),
    }
}

/// Summarizes the last probe of a server.
fn probe_state(server: &Value, now: u64) -> String {
    let status = &server["status"];
    let failed = status["problem"].as_str().is_some_and(|it| !it.is_empty());
    let cut = status["omissions"]
        .as_array()
        .is_some_and(|it| !it.is_empty());
    // A status may tell of proxies only.
    let is_probed = status["probeTime"].is_string();
    match (is_probed || failed, failed, status["seen"] == true) {
        (false, _, _) => "not yet".to_owned(),
        (true, false, _) if cut => "limit reached".to_owned(),
        (true, false, _) => "fine".to_owned(),
        (true, true, seen) => {
            let word = if seen { "problem" } else { "failed" };
            format!("{word} {}", age(status, "/problemSinceTime", now))
        }
    }
}

/// Returns the URLs of the endpoints of a server, joined by commas.
pub fn server_urls(server: &Value) -> String {
    match server["spec"]["url"].as_str() {
        None | Some("") => joined(server, "/spec/endpoints", "url"),
        Some(url) => url.to_owned(),
    }
}

/// Returns the origins of a credential, or a note that none bind it.
fn credential_hosts(credential: &Value) -> String {
    let hosts = credential["spec"]["hosts"].as_array();
    let hosts: Vec<&str> = hosts
        .into_iter()
        .flatten()
        .flat_map(Value::as_str)
        .collect();
    match hosts.is_empty() {
        true => "not bound".to_owned(),
        false => hosts.join(","),
    }
}

fn max_answer(server: &Value) -> String {
    format!("{} MiB", server["spec"]["maxAnswerMib"])
}

/// Summarizes the rate limits of an object: `600 per 60s per principal`.
fn limits(object: &Value) -> String {
    let list = object["spec"]["rateLimits"]
        .as_array()
        .into_iter()
        .flatten();
    let list: Vec<_> = list
        .map(|limit| {
            format!(
                "{} per {} per {}",
                text(limit, "/requests"),
                text(limit, "/interval"),
                enum_word(limit, "/per", "?")
            )
        })
        .collect();
    match list.is_empty() {
        true => "-".to_owned(),
        false => list.join(", "),
    }
}
