//! Stream of the changes of objects, from the watch of the admin API.

use http::uri::PathAndQuery;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::{Request, Status, codec::Streaming, metadata::MetadataValue};
use toolgate_wire::CONSISTENCY_HEADER;

use super::{AdminClient, status};
use crate::cli::{
    client::{
        kind::{self, ApiResourceKind},
        schema::{self, DynamicCodec},
    },
    output::error::CliError,
};

/// Change of an object, or the end of the objects that existed at the beginning.
#[derive(Debug)]
pub enum ObjectChange {
    /// An object exists, or has changed.
    Put(&'static ApiResourceKind, Value),
    /// An object has been deleted; only its name is known.
    Deleted(&'static ApiResourceKind, Value),
    /// All objects that existed at the beginning have been sent.
    Synced,
}

/// Open stream of changes.
pub struct ObjectChanges {
    admin: AdminClient,
    events: Streaming<DynamicMessage>,
}

impl AdminClient {
    /// Opens a stream of the changes of some kinds.
    pub async fn changes(
        &self,
        kinds: &[&'static ApiResourceKind],
    ) -> Result<ObjectChanges, CliError> {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        let mut request = json!({ "kinds": names });
        if kinds.iter().all(|kind| kind.in_organization) {
            request["parent"] = json!(format!("organizations/{}", self.organization));
        }
        let opened = self.open_stream("Watch", "Watch", &request, false).await?;
        let events = match opened {
            Ok(events) => events,
            Err(status) => return Err(self.explained(status).await),
        };
        Ok(ObjectChanges {
            admin: self.clone(),
            events,
        })
    }

    /// Calls a method that answers with a stream, and asks for the latest state if `is_latest`. The inner result is the answer
    /// of the control plane.
    pub(super) async fn open_stream(
        &self,
        service: &str,
        method: &str,
        request: &Value,
        is_latest: bool,
    ) -> Result<Result<Streaming<DynamicMessage>, Status>, CliError> {
        let method = schema::method(service, method)?;
        let mut request = Request::new(schema::from_json(method.input(), request)?);
        let metadata = request.metadata_mut();
        if is_latest {
            metadata.insert(CONSISTENCY_HEADER, MetadataValue::from_static("latest"));
        }
        if let Some(bearer) = &self.bearer {
            metadata.insert("authorization", bearer.clone());
        }
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path =
            PathAndQuery::try_from(path).map_err(|error| CliError::error(error.to_string()))?;
        let codec = DynamicCodec {
            response: method.output(),
        };
        let mut grpc = self.grpc.clone();
        let opened = async {
            let ready = grpc.ready().await;
            ready.map_err(status::not_ready)?;
            grpc.server_streaming(request, path, codec).await
        };
        Ok(opened.await.map(tonic::Response::into_inner))
    }
}

impl ObjectChanges {
    /// Returns the next change, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<ObjectChange>, CliError> {
        loop {
            let event = self.events.message().await;
            let event = match event {
                Ok(event) => event,
                Err(status) => return Err(self.admin.explained(status).await),
            };
            let Some(event) = event else {
                return Ok(None);
            };
            let mut event = schema::to_json(&event)?;
            let change = event["type"].as_str().unwrap_or_default().to_owned();
            let found = kind::ALL.iter().find_map(|kind| {
                let object = event.get_mut(kind.json_field())?.take();
                Some((kind, object))
            });
            match (change.as_str(), found) {
                ("TYPE_SYNCED", _) => return Ok(Some(ObjectChange::Synced)),
                ("TYPE_PUT", Some((kind, object))) => {
                    return Ok(Some(ObjectChange::Put(kind, object)));
                }
                ("TYPE_DELETED", Some((kind, object))) => {
                    return Ok(Some(ObjectChange::Deleted(kind, object)));
                }
                // An event of a later version.
                (_, _) => {}
            }
        }
    }
}
