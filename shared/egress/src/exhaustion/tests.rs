//! Classification of errors by the side that lacks something.

use super::*;

#[test]
fn a_lack_of_own_resources_is_told_apart_from_a_failure_of_the_server() {
    let (v4, v6): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
    let is_exhausted = |errno: Errno, address| {
        matches!(
            DialError::of(errno.into(), address),
            DialError::Exhausted(_)
        )
    };
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
        assert!(is_exhausted(errno, v4), "{errno}");
        assert!(is_exhausted(errno, v6), "{errno}");
    }
    assert!(is_exhausted(Errno::ADDRNOTAVAIL, v4));
    assert!(!is_exhausted(Errno::ADDRNOTAVAIL, v6));
    for errno in [
        Errno::CONNREFUSED,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::TIMEDOUT,
    ] {
        assert!(!is_exhausted(errno, v4), "{errno}");
    }
    let unknown = io::Error::other("no such name");
    assert!(matches!(
        DialError::of_resolution(unknown),
        DialError::Failed(_)
    ));
}
