//! Table of the supported clients. Each client has its own field names, and they are easy to confuse; this is the
//! only place that knows them. `{name}`, `{url}` and `{token}` are placeholders.

use crate::cli::output::error::CliError;

/// Description of a client and of its MCP settings.
#[derive(Debug)]
pub struct ClientProfile {
    /// Id on the command line.
    pub id: &'static str,
    /// Alternative ids.
    pub aliases: &'static [&'static str],
    /// Product name.
    pub title: &'static str,
    /// Shell command that adds the server to the client's settings.
    pub command: Option<&'static str>,
    /// JSON settings file, and the member of it that holds the servers.
    pub file: Option<(SettingsPath, &'static str)>,
    /// JSON value of the server's entry in the settings file.
    pub entry: &'static str,
    /// Settings as a user would write them.
    pub snippet: &'static str,
    /// Location of the snippet, if the client has no `file`.
    pub snippet_location: &'static str,
    /// Further notes for the user.
    pub notes: &'static [&'static str],
}

/// Path of a file below the home folder, by operating system.
#[derive(Debug, Clone, Copy)]
pub struct SettingsPath {
    /// Path on Linux and on other systems.
    pub linux: &'static str,
    /// Path on macOS, if it differs.
    pub macos: Option<&'static str>,
}

/// Values of the placeholders.
#[derive(Debug, Clone)]
pub struct TemplateValues {
    /// Name under which the client knows the gateway.
    pub name: String,
    /// URL of the gateway's endpoint.
    pub url: String,
    /// Bearer token.
    pub token: String,
}

impl SettingsPath {
    /// Path for this operating system, below the home folder.
    pub fn path(self) -> &'static str {
        match self.macos {
            Some(path) if cfg!(target_os = "macos") => path,
            Some(_) | None => self.linux,
        }
    }
}

impl TemplateValues {
    /// Replaces the placeholders of a template.
    pub fn fill(&self, template: &str) -> String {
        template
            .replace("{name}", &self.name)
            .replace("{url}", &self.url)
            .replace("{token}", &self.token)
    }
}

/// Returns the client with this id or alias.
pub fn find(word: &str) -> Result<&'static ClientProfile, CliError> {
    let means = |client: &&ClientProfile| client.id == word || client.aliases.contains(&word);
    ALL.iter().find(means).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|client| client.id).collect();
        CliError::usage(format!("there is no client `{word}`"))
            .with_note(format!("clients: {}", known.join(", ")))
            .with_next_step("`toolgate connect curl` works for anything that speaks HTTP")
    })
}

const fn at(linux: &'static str) -> SettingsPath {
    SettingsPath { linux, macos: None }
}

/// All supported clients.
pub static ALL: [ClientProfile; 16] = [
    ClientProfile {
        id: "claude-code",
        aliases: &["claude"],
        title: "Claude Code",
        command: Some(
            r#"claude mcp add --transport http --scope user {name} {url} --header "Authorization: Bearer {token}""#,
        ),
        file: Some((at(".claude.json"), "mcpServers")),
        entry: r#"{"type":"http","url":"{url}","headers":{"Authorization":"Bearer {token}"}}"#,
        snippet: r#"
{"mcpServers": {"{name}": {
  "type": "http",
  "url": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &["For a project only: the same in .mcp.json there. Then /mcp shows the tools."],
    },
    ClientProfile {
        id: "claude-desktop",
        aliases: &[],
        title: "Claude Desktop",
        command: None,
        file: Some((
            SettingsPath {
                linux: ".config/Claude/claude_desktop_config.json",
                macos: Some("Library/Application Support/Claude/claude_desktop_config.json"),
            },
            "mcpServers",
        )),
        entry: r#"{"command":"npx","args":["-y","mcp-remote","{url}","--header","Authorization:${AUTH}"],"env":{"AUTH":"Bearer {token}"}}"#,
        snippet: r#"
{"mcpServers": {"{name}": {
  "command": "npx",
  "args": ["-y", "mcp-remote", "{url}", "--header", "Authorization:${AUTH}"],
  "env": {"AUTH": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &[
            "A connector added in its settings comes from Anthropic's cloud: it needs public DNS and a trusted certificate.",
        ],
    },
    ClientProfile {
        id: "cursor",
        aliases: &[],
        title: "Cursor",
        command: None,
        file: Some((at(".cursor/mcp.json"), "mcpServers")),
        entry: r#"{"url":"{url}","headers":{"Authorization":"Bearer {token}"}}"#,
        snippet: r#"
{"mcpServers": {"{name}": {
  "url": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &[
            "For a project only: the same in .cursor/mcp.json there; ${env:NAME} is filled in by Cursor.",
        ],
    },
    ClientProfile {
        id: "vscode",
        aliases: &["code"],
        title: "VS Code",
        command: Some(
            r#"code --add-mcp '{"name":"{name}","type":"http","url":"{url}","headers":{"Authorization":"Bearer {token}"}}'"#,
        ),
        file: Some((
            SettingsPath {
                linux: ".config/Code/User/mcp.json",
                macos: Some("Library/Application Support/Code/User/mcp.json"),
            },
            "servers",
        )),
        entry: r#"{"type":"http","url":"{url}","headers":{"Authorization":"Bearer {token}"}}"#,
        snippet: r#"
{"servers": {"{name}": {
  "type": "http",
  "url": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &[
            "In .vscode/mcp.json, to keep the token out of it: \"Bearer ${input:token}\" with \"inputs\": [{\"type\": \"promptString\", \"id\": \"token\", \"description\": \"Toolgate token\", \"password\": true}].",
        ],
    },
    ClientProfile {
        id: "codex",
        aliases: &["chatgpt-desktop"],
        title: "Codex (CLI, IDE and ChatGPT desktop)",
        command: None,
        file: None,
        entry: "",
        snippet: r#"
[mcp_servers.{name}]
url = "{url}"
bearer_token_env_var = "TOOLGATE_GATEWAY_TOKEN""#,
        snippet_location: "~/.codex/config.toml, with TOOLGATE_GATEWAY_TOKEN={token} in the environment",
        notes: &[
            "A token in the file itself is refused. Its limits are 10 s to start and 60 s a call.",
        ],
    },
    ClientProfile {
        id: "gemini",
        aliases: &["gemini-cli"],
        title: "Gemini CLI",
        command: Some(
            r#"gemini mcp add -s user --transport http --header "Authorization: Bearer {token}" {name} {url}"#,
        ),
        file: Some((at(".gemini/settings.json"), "mcpServers")),
        entry: r#"{"httpUrl":"{url}","headers":{"Authorization":"Bearer {token}"}}"#,
        snippet: r#"
{"mcpServers": {"{name}": {
  "httpUrl": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &[
            "`url` would mean SSE there. In Antigravity: ~/.gemini/antigravity/mcp_config.json with \"serverUrl\".",
        ],
    },
    ClientProfile {
        id: "copilot",
        aliases: &["copilot-cli"],
        title: "GitHub Copilot CLI",
        command: None,
        file: Some((at(".copilot/mcp-config.json"), "mcpServers")),
        entry: r#"{"type":"http","url":"{url}","headers":{"Authorization":"Bearer {token}"},"tools":["*"]}"#,
        snippet: r#"
{"mcpServers": {"{name}": {
  "type": "http",
  "url": "{url}",
  "headers": {"Authorization": "Bearer {token}"},
  "tools": ["*"]
}}}"#,
        snippet_location: "",
        notes: &[],
    },
    ClientProfile {
        id: "devin",
        aliases: &[],
        title: "Devin Desktop (Windsurf before June 2026)",
        command: Some(r#"devin mcp add -s user -H "Authorization: Bearer {token}" {name} {url}"#),
        file: Some((at(".config/devin/mcp_config.json"), "mcpServers")),
        entry: r#"{"url":"{url}","headers":{"Authorization":"Bearer {token}"}}"#,
        snippet: r#"
{"mcpServers": {"{name}": {
  "url": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &["An old Windsurf: `toolgate connect windsurf`."],
    },
    ClientProfile {
        id: "windsurf",
        aliases: &[],
        title: "Windsurf (before it became Devin Desktop)",
        command: None,
        file: Some((at(".codeium/windsurf/mcp_config.json"), "mcpServers")),
        entry: r#"{"serverUrl":"{url}","headers":{"Authorization":"Bearer {token}"}}"#,
        snippet: r#"
{"mcpServers": {"{name}": {
  "serverUrl": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &[],
    },
    ClientProfile {
        id: "open-webui",
        aliases: &["openwebui"],
        title: "Open WebUI",
        command: None,
        file: None,
        entry: "",
        snippet: "
Type    MCP (Streamable HTTP)
URL     {url}
Auth    Bearer
Key     {token}",
        snippet_location: "Admin > Settings > External Tools > +",
        notes: &[
            "The type OpenAPI hangs its page. It wants WEBUI_SECRET_KEY to be set.",
            "From its container this machine is called host.docker.internal.",
        ],
    },
    ClientProfile {
        id: "langchain",
        aliases: &[],
        title: "LangChain (Python)",
        command: None,
        file: None,
        entry: "",
        snippet: r#"
# langchain >= 1.4
from langchain.mcp import MCPAdapter

adapter = MCPAdapter({"mcpServers": {"{name}": {
    "url": "{url}",
    "headers": {"Authorization": "Bearer {token}"},
}}})

# before: langchain-mcp-adapters
from langchain_mcp_adapters.client import MultiServerMCPClient

client = MultiServerMCPClient({"{name}": {
    "transport": "http",
    "url": "{url}",
    "headers": {"Authorization": "Bearer {token}"},
}})"#,
        snippet_location: "",
        notes: &[],
    },
    ClientProfile {
        id: "openai-agents",
        aliases: &["openai"],
        title: "OpenAI Agents SDK (Python)",
        command: None,
        file: None,
        entry: "",
        snippet: r#"
from agents.mcp import MCPServerStreamableHttp

server = MCPServerStreamableHttp(
    name="{name}",
    params={"url": "{url}", "headers": {"Authorization": "Bearer {token}"}, "timeout": 30},
    cache_tools_list=True,
)"#,
        snippet_location: "",
        notes: &["Its default timeout is 5 seconds. The hosted variant needs a public URL."],
    },
    ClientProfile {
        id: "cline",
        aliases: &[],
        title: "Cline",
        command: None,
        file: None,
        entry: "",
        snippet: r#"
{"mcpServers": {"{name}": {
  "type": "streamableHttp",
  "url": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "MCP Servers > Configure MCP Servers (cline_mcp_settings.json)",
        notes: &[],
    },
    ClientProfile {
        id: "goose",
        aliases: &[],
        title: "Goose",
        command: None,
        file: None,
        entry: "",
        snippet: r#"
extensions:
  {name}:
    type: streamable_http
    uri: {url}
    headers:
      Authorization: Bearer {token}
    enabled: true
    timeout: 300"#,
        snippet_location: "~/.config/goose/config.yaml",
        notes: &[],
    },
    ClientProfile {
        id: "zed",
        aliases: &[],
        title: "Zed",
        command: None,
        file: Some((at(".config/zed/settings.json"), "context_servers")),
        entry: r#"{"url":"{url}","headers":{"Authorization":"Bearer {token}"}}"#,
        snippet: r#"
{"context_servers": {"{name}": {
  "url": "{url}",
  "headers": {"Authorization": "Bearer {token}"}
}}}"#,
        snippet_location: "",
        notes: &[],
    },
    ClientProfile {
        id: "curl",
        aliases: &["http"],
        title: "curl, or anything that speaks HTTP",
        command: None,
        file: None,
        entry: "",
        snippet: r#"
# 2026-07-28
curl -sS {url} \
  -H 'Authorization: Bearer {token}' \
  -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/list' \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'

# 2025-11-25 and before: initialize first, then repeat the Mcp-Session-Id it answers with
curl -sSi {url} \
  -H 'Authorization: Bearer {token}' \
  -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}'"#,
        snippet_location: "",
        notes: &[],
    },
];
