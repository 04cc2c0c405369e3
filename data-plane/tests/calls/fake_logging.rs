//! Log messages of the fake server: a legacy server sends those of the session's level, a modern server those of the
//! level in the request.

use std::collections::BTreeMap;

use http::{HeaderMap, Response};
use serde_json::{Value, json};
use toolgate_model::Era;

use crate::server::{FakeResponseBody, FakeServer, answer, failure, plain};

const ALL: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// Log levels of the fake server and its behavior for `logging/setLevel`.
#[derive(Default)]
pub struct FakeLogLevels {
    by_session: BTreeMap<String, usize>,
    /// Does not declare `logging`.
    pub undeclared: bool,
    /// Responds with an error.
    pub refusing: bool,
    /// Does not respond.
    pub silent: bool,
}

impl FakeServer {
    pub(crate) async fn set_level(
        &self,
        headers: &HeaderMap,
        message: &Value,
    ) -> Response<FakeResponseBody> {
        let (refusing, silent) = {
            let levels = &self.seen.lock().unwrap().levels;
            (levels.refusing, levels.silent)
        };
        if refusing {
            return failure(message, -32601, "no levels here");
        }
        if silent {
            std::future::pending::<()>().await;
        }
        let level = message["params"]["level"].as_str().unwrap();
        let at = ALL.iter().position(|known| *known == level).unwrap();
        let mut seen = self.seen.lock().unwrap();
        seen.levels.by_session.insert(session(headers), at);
        answer(message, &json!({}))
    }

    /// Sends one message of each requested level and then the result.
    pub(crate) fn logs(&self, headers: &HeaderMap, message: &Value) -> Response<FakeResponseBody> {
        let asked = &message["params"]["_meta"]["io.modelcontextprotocol/logLevel"];
        let from = match self.era {
            Era::Legacy => {
                let set = &self.seen.lock().unwrap().levels.by_session;
                // Without a level the server sends messages of `info` and above.
                set.get(&session(headers)).copied().unwrap_or(1)
            }
            Era::Modern => {
                let at = ALL.iter().position(|known| asked == known);
                at.unwrap_or(ALL.len())
            }
        };
        let logs = ALL[from..].iter().map(|level| {
            json!({"jsonrpc": "2.0", "method": "notifications/message",
                "params": {"level": level, "data": "x"}})
        });
        let result = json!({"jsonrpc": "2.0", "id": message["id"],
            "result": {"content": [{"type": "text", "text": "done"}]}});
        let all: Vec<String> = logs
            .chain([result])
            .map(|message| format!("data: {message}\n\n"))
            .collect();
        plain(200, "text/event-stream", &all.concat())
    }
}

fn session(headers: &HeaderMap) -> String {
    let session = headers.get("mcp-session-id");
    session.map_or(String::new(), |id| id.to_str().unwrap().to_owned())
}
