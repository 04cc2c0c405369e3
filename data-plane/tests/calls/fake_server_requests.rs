//! Tools of the fake server that send requests to the client, in the form of each era.

use std::time::Duration;

use http::Response;
use http_body::Frame;
use serde_json::{Value, json};
use toolgate_model::Era;

use crate::server::{
    EventSink, FakeResponseBody, FakeServer, answer, channel, event, events, plain, progress,
};

/// Request that the tool `name` sends to the client.
fn question(name: &str) -> Value {
    match name {
        "ask_model" => json!({"method": "sampling/createMessage", "params": {"maxTokens": 5}}),
        "ask_roots" => json!({"method": "roots/list"}),
        "ask_url" => json!({"method": "elicitation/create", "params": {"mode": "url",
            "elicitationId": "e-9", "url": "https://login.example/connect", "message": "Sign in"}}),
        _ => json!({"method": "elicitation/create", "params": {
            "message": "Which one?",
            "requestedSchema": {"type": "object", "properties": {"n": {"type": "number", "default": 1.50}}},
        }}),
    }
}

impl FakeServer {
    pub(crate) fn serve_ask(&self, message: &Value) -> Response<FakeResponseBody> {
        match self.era {
            Era::Legacy => self.ask_on_stream(message),
            // Against the revision: a modern server requests input in its result.
            Era::Modern if message["params"]["name"] == "ask_outright" => {
                self.ask_on_stream(message)
            }
            Era::Modern => ask_in_rounds(message),
        }
    }

    /// Waits for the client's response to the request `id`.
    pub(crate) async fn answered(&self, id: &str) -> Value {
        loop {
            let found = self.responses().into_iter().find(|said| said["id"] == id);
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All responses that were posted to the server.
    pub fn responses(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let messages = seen.requests.iter().map(|(_, message)| message);
        let responses = messages.filter(|message| message.get("method").is_none());
        responses.cloned().collect()
    }

    /// Sends requests on the stream of the call and returns the responses as its result.
    fn ask_on_stream(&self, message: &Value) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let (server, message) = (self.clone(), message.clone());
        tokio::spawn(async move {
            let working = server.ask_and_answer(&sink, &message);
            tokio::select! {
                () = sink.closed() => server.seen.lock().unwrap().dropped += 1,
                () = working => {}
            }
        });
        events(body)
    }

    async fn ask_and_answer(&self, sink: &EventSink, message: &Value) {
        let name = message["params"]["name"].as_str().unwrap();
        let ask = async |id: &str| {
            let mut request = question(name);
            request["jsonrpc"] = json!("2.0");
            request["id"] = json!(id);
            if name == "ask_apart" {
                // On the stream of the session. A server drops the message if there is none.
                let _dropped = self.feeds.send(request);
                return;
            }
            event(sink, &request).await;
        };
        if name == "ask_many" {
            return self.ask_many(sink, message).await;
        }
        let mut ids = vec![format!("{}-first", message["id"])];
        if name == "ask_again" {
            ids.push(format!("{}-second", message["id"]));
        }
        if name == "ask_flood" {
            ask(&ids[0]).await;
            return progress_for_ever(sink, message).await;
        }
        let mut said = Vec::new();
        for id in &ids {
            ask(id).await;
            if name == "ask_back" {
                let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                    "params": {"requestId": id}});
                event(sink, &cancel).await;
                continue;
            }
            let mut answer = self.answered(id).await;
            answer.as_object_mut().unwrap().remove("id");
            answer.as_object_mut().unwrap().remove("jsonrpc");
            said.push(answer);
        }
        if name == "ask_visit" {
            let last = sent_away("https://login.example/connect");
            let last = json!({"jsonrpc": "2.0", "id": message["id"], "error": last});
            return event(sink, &last).await;
        }
        let text = Value::from(said).to_string();
        let result = json!({"content": [{"type": "text", "text": text}]});
        let last = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        event(sink, &last).await;
    }
}

/// Error -32042 (URL elicitation required) of a server.
fn sent_away(url: &str) -> Value {
    let page = json!({"mode": "url", "elicitationId": "e-1", "url": url, "message": "Sign in"});
    json!({"code": -32042, "message": "sign in first", "data": {"elicitations": [page], "more": 1}})
}

/// Sends progress notifications without end, as fast as they are read.
async fn progress_for_ever(sink: &EventSink, message: &Value) {
    let token = &message["params"]["_meta"]["progressToken"];
    for step in 1_u32.. {
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": step}});
        let many = format!("data: {progress}\n\n").repeat(2_000);
        if sink.send(Ok(Frame::data(many.into()))).await.is_err() {
            return;
        }
    }
}

impl FakeServer {
    /// Sends three requests at once.
    async fn ask_many(&self, sink: &EventSink, message: &Value) {
        let names = ["ask", "ask_model", "ask"];
        let ids = [1, 2, 3].map(|n| format!("{}-{n}", message["id"]));
        for (name, id) in names.iter().zip(&ids) {
            let mut request = question(name);
            request["jsonrpc"] = json!("2.0");
            request["id"] = json!(id);
            event(sink, &request).await;
        }
        let mut said = Vec::new();
        for id in &ids {
            said.push(self.answered(id).await["result"].clone());
        }
        let result = json!({"content": [{"type": "text", "text": Value::from(said).to_string()}]});
        let last = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        event(sink, &last).await;
    }

    /// Requires a URL elicitation before the call: once, repeatedly, or with a URL that is not a web page.
    pub(crate) async fn serve_url_elicitation(
        &self,
        name: &str,
        message: &Value,
    ) -> Response<FakeResponseBody> {
        let url = match name {
            "visit_nowhere" => "javascript:alert(1)",
            _ => "https://login.example/connect",
        };
        let error = sent_away(url);
        let again = matches!(name, "visit" | "visit_stream") && self.calls(name) > 1;
        let text = message["params"]["arguments"]["text"].clone();
        let result = json!({"content": [{"type": "text", "text": text}]});
        let frame = match again {
            true => json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
            false => json!({"jsonrpc": "2.0", "id": message["id"], "error": error}),
        };
        if name != "visit_stream" {
            return plain(200, "application/json", &frame.to_string());
        }
        let (sink, body) = channel();
        let message = message.clone();
        tokio::spawn(async move {
            progress(&sink, &message, 1).await;
            event(&sink, &frame).await;
        });
        events(body)
    }
}

/// Requests input with `input_required` and returns the responses as its result; `ask_again` requires two rounds.
fn ask_in_rounds(message: &Value) -> Response<FakeResponseBody> {
    let params = &message["params"];
    let name = params["name"].as_str().unwrap();
    let round = match params["requestState"].as_str() {
        Some("after \"one\"") => 1,
        Some("after two") => 2,
        Some(other) => panic!("no state of ours: {other}"),
        None => 0,
    };
    let rounds = if name == "ask_again" { 2 } else { 1 };
    if round < rounds {
        let state = ["after \"one\"", "after two"][round];
        let mut asked = question(name);
        if let Some(params) = asked.get_mut("params").and_then(Value::as_object_mut) {
            params.remove("elicitationId");
        }
        let mut wanted = json!({"resultType": "input_required", "requestState": state,
            "inputRequests": {"who": asked}});
        if name == "ask_stateless" {
            wanted.as_object_mut().unwrap().remove("requestState");
        }
        return answer(message, &wanted);
    }
    let text = params["inputResponses"].to_string();
    let content = json!([{"type": "text", "text": text}]);
    answer(
        message,
        &json!({"resultType": "complete", "content": content}),
    )
}
