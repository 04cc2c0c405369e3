//! Selection of requests in words, for a command that has nothing to show yet.

use super::LogsArgs;
use crate::cli::output::cell;

impl LogsArgs {
    /// Returns the text for a selection without past requests: what is selected, and what the command waits for.
    pub(super) fn empty_notice(&self) -> String {
        let (gateway, filters) = (&self.gateway, self.filters());
        let since = self.since.map_or_else(String::new, |since| {
            format!(" in the last {}", cell::format_duration(since.as_secs()))
        });
        match (self.follow, self.tail) {
            (true, Some(0)) => format!(
                "waiting for requests through the gateway {gateway}{filters}; Ctrl-C ends the command"
            ),
            (true, _) => format!(
                "no request through the gateway {gateway}{filters} has ended{since}; waiting for the next one, Ctrl-C ends the \
                 command"
            ),
            (false, _) => format!(
                "no request through the gateway {gateway}{filters} is kept{since}: a proxy keeps its latest requests until it is \
                 restarted\n  next: without `--follow=false` the command waits for requests; `toolgate tools list --gateway {gateway}` \
                 makes one"
            ),
        }
    }

    /// Returns the filters in words.
    fn filters(&self) -> String {
        let named = [
            (" of the tool", &self.tool),
            (" to the server", &self.server),
            (" of the user", &self.user),
            (" of the team", &self.team),
            (" with the token", &self.caller_token),
        ];
        let named = named.iter();
        let mut filters: String = named
            .filter_map(|(words, name)| name.as_ref().map(|name| format!("{words} {name}")))
            .collect();
        if self.failed {
            filters += " that failed";
        }
        filters
    }
}
