//! Startup message of `up`: addresses, tokens, and commands that work as printed.

use std::{
    io::IsTerminal as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::demo_token::DemoToken;
use crate::cli::{
    client::{admin::DATA_DIR, gateway_access::endpoint_url},
    commands::connect::clients::{self, TemplateValues},
};

/// Content of the startup message.
pub struct StartupMessage {
    /// Address of the client listener.
    pub gateway_address: String,
    /// Address of the admin API.
    pub admin: String,
    /// Data folder.
    pub data_dir: PathBuf,
    /// Admin token, if it was created on this start. It is printed only once, and only on a terminal.
    pub new_admin_token: Option<String>,
    /// File with the admin token.
    pub admin_token_file: PathBuf,
    /// Address of the private port.
    pub private_listen: SocketAddr,
    /// Token for the demo gateway, if there is one.
    pub demo_token: Option<DemoToken>,
    /// True if the message goes to a terminal. Otherwise it may be stored, so that it names files instead of secrets.
    pub on_terminal: bool,
}

/// Returns `true` if the message goes to a terminal.
pub fn is_on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Returns the text for a new admin token: the token on a terminal, and otherwise the path of its file.
pub fn new_admin_token(token: &str, file: &Path, on_terminal: bool) -> String {
    if on_terminal {
        format!("admin token {token}  (also in {})", file.display())
    } else {
        format!("admin token in {}", file.display())
    }
}

/// Returns the lines of the startup message.
pub fn lines(welcome: &StartupMessage) -> Vec<String> {
    let mut lines = vec!["Toolgate is ready.".to_owned(), String::new()];
    if let Some(token) = &welcome.demo_token {
        lines.push(format!(
            "  endpoint     {}",
            endpoint_url(&welcome.gateway_address, "demo")
        ));
        lines.push(match welcome.on_terminal {
            true => format!("  token        {}", token.secret),
            false => format!("  token        in {}", token.file.display()),
        });
    } else {
        lines.push(format!(
            "  endpoints    {}",
            endpoint_url(&welcome.gateway_address, "<gateway>")
        ));
    }
    lines.push(format!("  admin API    {}", welcome.admin));
    let file = welcome.admin_token_file.display();
    match &welcome.new_admin_token {
        Some(token) if welcome.on_terminal => {
            lines.push(format!("  admin token  {token}"));
            lines.push(format!("               printed once; also in {file}"));
        }
        Some(_) | None => lines.push(format!("  admin token  in {file}")),
    }
    lines.push(format!(
        "  health       http://{}/readyz, /metrics",
        welcome.private_listen
    ));
    match &welcome.demo_token {
        Some(token) => lines.extend(first_steps(welcome, token)),
        None => lines.extend([
            String::new(),
            format!("Next: {}", server_add(&welcome.data_dir)),
        ]),
    }
    lines
}

fn first_steps(welcome: &StartupMessage, token: &DemoToken) -> Vec<String> {
    let given = TemplateValues {
        name: "demo".to_owned(),
        url: endpoint_url(&welcome.gateway_address, "demo"),
        token: match welcome.on_terminal {
            true => token.secret.clone(),
            false => format!("$(cat {})", shell_word(&token.file.to_string_lossy())),
        },
    };
    let claude = clients::find("claude-code")
        .ok()
        .and_then(|client| client.command);
    let claude = claude
        .map(|command| given.fill(command))
        .unwrap_or_default();
    vec![
        String::new(),
        "Call a tool:".to_owned(),
        String::new(),
        format!("  {}", curl_command(&given)),
        String::new(),
        "Give it to an agent:".to_owned(),
        String::new(),
        format!("  {claude}"),
        String::new(),
        format!(
            "Put a server of your own behind it: {}",
            server_add(&welcome.data_dir)
        ),
    ]
}

/// Returns the command for the next step. Commands find the ports through the data folder; the default folder need
/// not be named.
fn server_add(data_dir: &Path) -> String {
    let command = format!("{} server add NAME --url URL", program_path());
    if data_dir == Path::new(DATA_DIR) {
        return command;
    }
    format!(
        "{command} --data-dir {}",
        shell_word(&data_dir.to_string_lossy())
    )
}

/// Returns the path of this program as it was called, since it may not be on PATH.
fn program_path() -> String {
    let called = std::env::args().next().filter(|path| !path.is_empty());
    shell_word(&called.unwrap_or_else(|| "toolgate".to_owned()))
}

/// Quotes text as one shell word, if needed.
fn shell_word(text: &str) -> String {
    if text.contains(char::is_whitespace) {
        format!("'{text}'")
    } else {
        text.to_owned()
    }
}

/// Returns a curl command for a tool call of version 2026-07-28, which needs no handshake.
fn curl_command(given: &TemplateValues) -> String {
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"demo__add","arguments":{{"a":2,"b":3}},"_meta":{meta}}}}}"#
    );
    let headers = [
        "Content-Type: application/json".to_owned(),
        "Accept: application/json, text/event-stream".to_owned(),
        "MCP-Protocol-Version: 2026-07-28".to_owned(),
        "Mcp-Method: tools/call".to_owned(),
        "Mcp-Name: demo__add".to_owned(),
    ];
    let headers: Vec<_> = headers
        .iter()
        .map(|header| format!("-H '{header}'"))
        .collect();
    // The token may be a command substitution, which works in double quotes only.
    let authorization = format!("-H \"Authorization: Bearer {}\"", given.token);
    format!(
        "curl -sS {} {authorization} {} -d '{body}'",
        given.url,
        headers.join(" ")
    )
}

#[cfg(test)]
mod tests;
