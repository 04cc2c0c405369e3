//! Log messages of the server: a legacy one sends those of the level of the session, a modern one those that a request
//! asks for.

use std::collections::BTreeMap;

use http::{HeaderMap, Response};
use serde_json::{Value, json};
use toolgate_model::Era;

use crate::server::{Body, FakeServer, answer, failure, plain};

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

/// What a server knows of levels, and how it behaves about them.
#[derive(Default)]
pub struct Levels {
    by_session: BTreeMap<String, usize>,
    /// It does not declare `logging`.
    pub undeclared: bool,
    /// It answers with an error.
    pub refusing: bool,
    /// It does not answer.
    pub silent: bool,
}

impl FakeServer {
    pub(crate) async fn set_level(&self, headers: &HeaderMap, message: &Value) -> Response<Body> {
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

    /// A message of each level that is wanted, and the answer.
    pub(crate) fn logs(&self, headers: &HeaderMap, message: &Value) -> Response<Body> {
        let asked = &message["params"]["_meta"]["io.modelcontextprotocol/logLevel"];
        let from = match self.era {
            Era::Legacy => {
                let set = &self.seen.lock().unwrap().levels.by_session;
                // Left to itself it sends ordinary ones.
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
