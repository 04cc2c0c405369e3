//! Tools of a legacy server that ends its streams early. The call's argument is a script with one entry for the stream
//! of the call and one for each resumption; an entry is a list of words.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::server::{EventSink, FakeResponseBody, FakeServer, channel, events, plain};

/// State of the scripted call.
#[derive(Default)]
pub struct PollingScript {
    call: Value,
    script: Vec<Value>,
    /// Word on the session stream, after which the stream ends; it is sent once the call has arrived.
    pub session_stream: Option<&'static str>,
    /// Headers and time of each GET with an event id.
    pub gets: Vec<(HeaderMap, tokio::time::Instant)>,
    /// Time of the end of each stream.
    pub ends: Vec<tokio::time::Instant>,
}

impl FakeServer {
    /// Starts a scripted call.
    pub(crate) fn serve_polled_call(&self, message: &Value) -> Response<FakeResponseBody> {
        let text = message["params"]["arguments"]["text"].as_str().unwrap();
        let mut script: Vec<Value> = serde_json::from_str(text).unwrap();
        script.reverse();
        {
            let polled = &mut self.seen.lock().unwrap().polled;
            polled.call = message.clone();
            polled.script = script;
        }
        self.next_stream()
    }

    /// Responds to a GET that resumes a stream.
    pub(crate) fn resume_stream(&self, headers: &HeaderMap) -> Response<FakeResponseBody> {
        let now = tokio::time::Instant::now();
        let get = (headers.clone(), now);
        self.seen.lock().unwrap().polled.gets.push(get);
        self.next_stream()
    }

    /// `Last-Event-ID` values that the client sent.
    pub fn resume_positions(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let id = |(headers, _): &(HeaderMap, _)| headers["last-event-id"].to_str().unwrap().into();
        seen.polled.gets.iter().map(id).collect()
    }

    /// Returns the scripted session stream, if any.
    pub(crate) fn scripted_session_stream(&self) -> Option<Response<FakeResponseBody>> {
        let word = self.seen.lock().unwrap().polled.session_stream.take()?;
        let (sink, body) = channel();
        let server = self.clone();
        tokio::spawn(async move {
            server.run_word(&sink, &Value::Null, word).await;
            while server.seen.lock().unwrap().polled.call.is_null() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        Some(events(body))
    }

    fn next_stream(&self) -> Response<FakeResponseBody> {
        let (words, call) = {
            let polled = &mut self.seen.lock().unwrap().polled;
            let words = polled.script.pop().expect("no more is taken up than that");
            (words, polled.call.clone())
        };
        if let Some(status) = words.as_u64() {
            let kind = if status == 200 {
                "text/html"
            } else {
                "text/plain"
            };
            return plain(u16::try_from(status).unwrap(), kind, "no");
        }
        let (sink, body) = channel();
        let server = self.clone();
        tokio::spawn(async move {
            for word in words.as_array().unwrap() {
                server.run_word(&sink, &call, word.as_str().unwrap()).await;
            }
            let seen = Arc::clone(&server.seen);
            seen.lock()
                .unwrap()
                .polled
                .ends
                .push(tokio::time::Instant::now());
        });
        events(body)
    }

    /// Sends one word, `ID:ACTION`; the id may be empty.
    async fn run_word(&self, sink: &EventSink, call: &Value, word: &str) {
        let (id, what) = word.split_once(':').unwrap();
        let mut text = String::new();
        if !id.is_empty() {
            text.push_str(&format!("id: {id}\n"));
        }
        let token = &call["params"]["_meta"]["progressToken"];
        let message = match what.split_once('=').unwrap_or((what, "")) {
            ("retry", time) => {
                text.push_str(&format!("retry: {time}\n"));
                Value::Null
            }
            ("progress", step) => {
                let step: u64 = step.parse().unwrap();
                json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": token, "progress": step}})
            }
            ("ask", id) => json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create",
                "params": {"message": "Which?", "requestedSchema": {"type": "object", "properties": {}}}}),
            ("wait", id) => {
                let said = self.answered(id).await;
                assert_eq!(said["result"]["action"], "accept", "{said}");
                return;
            }
            ("answer", words) => json!({"jsonrpc": "2.0", "id": call["id"],
                "result": {"content": [{"type": "text", "text": words}]}}),
            ("half", _) => {
                let half = format!("{text}data: {{\"jsonrpc\":");
                return drop(sink.send(Ok(Frame::data(half.into()))).await);
            }
            ("break", _) => {
                let error = std::io::Error::other("cut");
                return drop(sink.send(Err(error)).await);
            }
            (other, _) => panic!("no word: {other}"),
        };
        let data = if message.is_null() {
            String::new()
        } else {
            message.to_string()
        };
        text.push_str(&format!("data: {data}\n\n"));
        drop(sink.send(Ok(Frame::data(Bytes::from(text)))).await);
    }
}
