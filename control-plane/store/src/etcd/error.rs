//! Maps etcd errors to [`StoreError`]. This mapping alone decides if a retry may help.

use etcd_client::Error;
use tonic::{Code, Status};
use toolgate_control_core::port::StoreError;

#[cfg(test)]
mod tests;

/// Message of a full etcd.
const FULL: &str = "etcd is full: its file has reached the quota; delete what is not needed, or raise --quota-backend-bytes of \
                    its members; Toolgate compacts, defragments and disarms the alarm by itself";

pub(super) fn from_etcd(error: Error) -> StoreError {
    match error {
        Error::GRpcStatus(status) => from_status(&status),
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => {
            StoreError::InvalidRequest(error.to_string())
        }
        Error::LeaseKeepAliveError(reason) if reason.contains("not found") => {
            StoreError::LeaseNotFound
        }
        Error::LeaseKeepAliveError(_)
        | Error::IoError(_)
        | Error::TransportError(_)
        | Error::WatchError(_)
        | Error::Utf8Error(_)
        | Error::ElectError(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => StoreError::Unavailable(error.to_string()),
    }
}

fn from_status(status: &Status) -> StoreError {
    let text = status.message();
    let contains = |part: &str| text.contains(part);
    match status.code() {
        Code::OutOfRange if contains("has been compacted") => StoreError::Compacted(0),
        // The receive limit of the client: the watch cannot catch up any more, but a listing can.
        Code::OutOfRange if contains("message length too large") => StoreError::Compacted(0),
        Code::ResourceExhausted if contains("space exceeded") => {
            StoreError::NoSpace(FULL.to_owned())
        }
        Code::ResourceExhausted if contains("message larger") => {
            StoreError::InvalidRequest(text.to_owned())
        }
        Code::NotFound if contains("lease not found") => StoreError::LeaseNotFound,
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Unimplemented => StoreError::InvalidRequest(text.to_owned()),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => StoreError::Unavailable(text.to_owned()),
    }
}
