//! Tests of the mapping of etcd error messages.

use super::*;

#[test]
fn etcd_errors_are_classified() {
    let unavailable = |text: &str| StoreError::Unavailable(text.to_owned());
    let refused = |text: &str| StoreError::InvalidRequest(text.to_owned());
    let cases = [
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
            StoreError::Compacted(0),
        ),
        (
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
            StoreError::NoSpace(FULL.to_owned()),
        ),
        (
            Code::NotFound,
            "etcdserver: requested lease not found",
            StoreError::LeaseNotFound,
        ),
        (
            Code::Unavailable,
            "etcdserver: no leader",
            unavailable("etcdserver: no leader"),
        ),
        (
            Code::ResourceExhausted,
            "etcdserver: too many requests",
            unavailable("etcdserver: too many requests"),
        ),
        (
            Code::InvalidArgument,
            "etcdserver: request is too large",
            refused("etcdserver: request is too large"),
        ),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
            refused("etcdserver: mvcc: required revision is a future revision"),
        ),
        (
            Code::Unauthenticated,
            "etcdserver: invalid auth token",
            unavailable("etcdserver: invalid auth token"),
        ),
    ];
    for (code, text, should) in cases {
        assert_eq!(
            from_etcd(Error::GRpcStatus(Status::new(code, text))),
            should
        );
    }
}
