//! Tests of protocol versions.

use super::*;

#[test]
fn a_version_is_read_and_stored_as_the_protocol_writes_it() {
    for version in ProtocolVersion::ALL {
        assert_eq!(version.as_str().parse(), Ok(version));
        let stored = serde_json::to_string(&version).unwrap();
        assert_eq!(stored, format!("\"{version}\""));
        assert_eq!(
            serde_json::from_str::<ProtocolVersion>(&stored).unwrap(),
            version
        );
    }
    for unknown in ["", "2025-06", "2027-01-01", " 2025-06-18"] {
        assert_eq!(unknown.parse::<ProtocolVersion>(), Err(UnknownVersion));
    }
}
