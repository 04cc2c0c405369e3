//! The command line as a whole.

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn what_scripts_rely_on_is_understood() {
    let lines = [
        "toolgate up --data-dir d --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
        "toolgate apply -f - --dry-run",
        "toolgate get gw tools -o json",
        "toolgate server add a --url http://x/mcp --header K=V --era legacy",
        "toolgate gateway create g --server a --server b --tools all --prefix never",
        "toolgate token create ci --gateway g --ttl 30d -o json",
        "toolgate tools list --gateway g --token t",
        "toolgate tools call --gateway g echo --args {}",
        "toolgate connect claude-code --gateway g --write",
        "toolgate proxies",
        "toolgate proxies join-token --region eu",
        "toolgate versions --no-headers",
        "toolgate doctor",
        "toolgate completion bash",
    ];
    for line in lines {
        let parsed = Cli::try_parse_from(line.split(' '));
        assert!(
            parsed.is_ok(),
            "{line}: {}",
            parsed.err().map(|e| e.to_string()).unwrap_or_default()
        );
    }
}
