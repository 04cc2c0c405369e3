//! Feeds of the fake server: session streams of legacy clients and `subscriptions/listen` streams of modern clients.

use http::Response;
use serde_json::{Value, json};

use crate::server::{FakeResponseBody, FakeServer, answer, channel, event, events, failure};

/// Resource for which servers accept no subscription.
pub const SECRET_URI: &str = "test://secret";

impl FakeServer {
    /// Sends `notifications/resources/updated` on every feed.
    pub fn update(&self, uri: &str) {
        let told = json!({"jsonrpc": "2.0", "method": "notifications/resources/updated",
            "params": {"uri": uri}});
        drop(self.feeds.send(told));
    }

    /// Ends all feeds without a final message.
    pub fn end_feeds(&self) {
        drop(self.feeds.send(Value::Null));
    }

    /// Number of open feeds.
    pub fn open_feeds(&self) -> usize {
        self.feeds.receiver_count()
    }

    pub(crate) fn feed(&self, listen: Option<&Value>) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let mut heard = self.feeds.subscribe();
        let acknowledged = listen.map(|message| {
            let mut filter = message["params"]["notifications"].clone();
            if let Some(Value::Array(uris)) = filter.get_mut("resourceSubscriptions") {
                uris.retain(|uri| uri != SECRET_URI);
            }
            if let Some(Value::Array(tasks)) = filter.get_mut("taskIds") {
                tasks.retain(|id| id != "t-secret");
            }
            let method = "notifications/subscriptions/acknowledged";
            json!({"jsonrpc": "2.0", "method": method, "params": {"notifications": filter}})
        });
        tokio::spawn(async move {
            if let Some(first) = acknowledged {
                event(&sink, &first).await;
            }
            loop {
                let told = tokio::select! {
                    told = heard.recv() => told.unwrap(),
                    () = sink.closed() => break,
                };
                if told.is_null() {
                    break;
                }
                event(&sink, &told).await;
            }
        });
        events(body)
    }

    pub(crate) fn subscribe(&self, message: &Value) -> Response<FakeResponseBody> {
        if message["params"]["uri"] == SECRET_URI {
            return failure(message, -32002, "theirs");
        }
        answer(message, &json!({}))
    }

    /// Number of `subscriptions/listen` requests.
    pub fn listen_count(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        let is =
            |(_, message): &&(http::HeaderMap, Value)| message["method"] == "subscriptions/listen";
        seen.requests.iter().filter(is).count()
    }

    /// Number of requests with this method and resource URI.
    pub fn asked(&self, method: &str, uri: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let is = |(_, message): &&(http::HeaderMap, Value)| {
            message["method"] == method && message["params"]["uri"] == uri
        };
        seen.requests.iter().filter(is).count()
    }
}
