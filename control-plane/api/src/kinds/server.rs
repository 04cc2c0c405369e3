//! Servers. The status of a server comes from its last probe, and from the proxies that send calls to it.

use tonic::Status;
use toolgate_control_core::{VersionedObject, port::PublishedState};
use toolgate_model::{ObjectName, Server, Timestamp};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::ProtoConversion as _;

use super::{AdminResource, PreparedObject, prepare_message};
use crate::{api_context::SecretServices, problems, watch::ObjectFingerprint};

impl AdminResource for Server {
    fn to_message(&self) -> pb::Server {
        self.to_proto()
    }

    fn add_status(
        message: &mut pb::Server,
        id: &ObjectName,
        published: &PublishedState,
        now: Timestamp,
    ) {
        message.status = problems::of_server(id, published, now);
    }

    fn fingerprint(
        id: &ObjectName,
        stored: &VersionedObject<Self>,
        published: &PublishedState,
        now: Timestamp,
    ) -> ObjectFingerprint {
        let probe = problems::of_server(id, published, now);
        ObjectFingerprint::Probed(stored.mod_revision, Box::new(probe))
    }

    fn prepare(
        _secrets: &SecretServices,
        message: &pb::Server,
        _stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        prepare_message::<Self>(message)
    }
}
