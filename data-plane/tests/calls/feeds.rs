//! The feeds of the fake server: the stream of a session, and what a modern client listens to.

use http::Response;
use serde_json::{Value, json};

use crate::server::{Body, FakeServer, answer, channel, event, events, failure};

/// A resource that no server agrees to tell of.
pub const SECRET: &str = "test://secret";

impl FakeServer {
    /// Tells that a resource was updated, on every feed.
    pub fn update(&self, uri: &str) {
        let told = json!({"jsonrpc": "2.0", "method": "notifications/resources/updated",
            "params": {"uri": uri}});
        drop(self.feeds.send(told));
    }

    /// Ends all feeds, without a word.
    pub fn hang_up(&self) {
        drop(self.feeds.send(Value::Null));
    }

    /// How many feeds are open.
    pub fn listeners(&self) -> usize {
        self.feeds.receiver_count()
    }

    pub(crate) fn feed(&self, listen: Option<&Value>) -> Response<Body> {
        let (sink, body) = channel();
        let mut heard = self.feeds.subscribe();
        let acknowledged = listen.map(|message| {
            let mut filter = message["params"]["notifications"].clone();
            if let Some(Value::Array(uris)) = filter.get_mut("resourceSubscriptions") {
                uris.retain(|uri| uri != SECRET);
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

    pub(crate) fn subscribe(&self, message: &Value) -> Response<Body> {
        if message["params"]["uri"] == SECRET {
            return failure(message, -32002, "theirs");
        }
        answer(message, &json!({}))
    }

    /// How often somebody wanted to listen.
    pub fn fed(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        let is =
            |(_, message): &&(http::HeaderMap, Value)| message["method"] == "subscriptions/listen";
        seen.requests.iter().filter(is).count()
    }

    /// How often it was asked this about a resource.
    pub fn asked(&self, method: &str, uri: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let is = |(_, message): &&(http::HeaderMap, Value)| {
            message["method"] == method && message["params"]["uri"] == uri
        };
        seen.requests.iter().filter(is).count()
    }
}
