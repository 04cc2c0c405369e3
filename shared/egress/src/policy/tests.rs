//! Tests of the address policy.

use super::*;

/// Addresses that are not global, or metadata services.
const REFUSED: &str = "
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 169.254.1.1
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
    192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255
    240.0.0.1 255.255.255.255 168.63.129.16 100.100.100.200 :: ::1 ::127.0.0.1 ::10.0.0.1
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:10.0.0.1 2002:7f00:1::
    2002:a00:1::1 2002:a9fe:a9fe:: 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1
    64:ff9b:1:ffff::a00:1 2001:0:4136:e378:8000:63bf:80ff:fffe 2001:10::1 2001:20::1 2001:2::1
    2001:db8::1 3fff::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 fe80::1:2:3:4 febf::1 fec0::1
    feff::1 ff02::1 ff0e::1 100::1 4000::1 5f00::1
";

/// Global unicast addresses.
const PASSED: &str = "
    1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1
    198.20.0.1 223.255.255.255 2606:4700::1111 2001:4860:4860::8888 ::ffff:8.8.8.8
    64:ff9b::808:808 2002:808:808::1 2a00:1450::1
";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn only_global_unicast_passes() {
    for text in REFUSED.split_whitespace() {
        assert!(
            vet(address(text), &EgressPolicy::default()).is_err(),
            "{text}"
        );
    }
    for text in PASSED.split_whitespace() {
        assert_eq!(
            vet(address(text), &EgressPolicy::default()),
            Ok(()),
            "{text}"
        );
    }
}

#[test]
fn an_allowed_network_permits_only_its_own_addresses() {
    let allow_networks = vec!["10.1.0.0/16".parse().unwrap(), "fd12::/16".parse().unwrap()];
    let policy = EgressPolicy {
        allow_networks,
        ..EgressPolicy::default()
    };
    for text in ["10.1.2.3", "fd12::7"] {
        assert_eq!(vet(address(text), &policy), Ok(()), "{text}");
        assert_eq!(vet_plain(address(text), &policy), Ok(()), "{text}");
    }
    for text in ["10.2.0.1", "::ffff:10.2.0.1", "fd13::7"] {
        assert!(vet(address(text), &policy).is_err(), "{text}");
    }
    assert!(vet_plain(address("8.8.8.8"), &policy).is_err());
}

#[test]
fn an_allowed_ipv4_network_opens_no_ipv6_address_that_embeds_one_of_it() {
    let with = |network: &str| EgressPolicy {
        allow_networks: vec![network.parse().unwrap()],
        ..EgressPolicy::default()
    };
    let ipv4 = with("10.0.0.0/8");
    let embeddings = [
        "::ffff:10.1.2.3",
        "::10.1.2.3",
        "::ffff:0:10.1.2.3",
        "64:ff9b::10.1.2.3",
        "2002:a01:203::1",
        "2001:0:1::f5fe:fdfc",
    ];
    for text in embeddings {
        assert!(vet(address(text), &ipv4).is_err(), "{text}");
        assert!(vet_plain(address(text), &ipv4).is_err(), "{text}");
    }
    // An operator behind NAT64 names its prefix.
    let nat64 = with("64:ff9b::/96");
    assert_eq!(vet(address("64:ff9b::10.1.2.3"), &nat64), Ok(()));
}

#[test]
fn no_allowed_network_permits_a_metadata_service() {
    let allow_networks = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let policy = EgressPolicy {
        allow_networks,
        ..EgressPolicy::default()
    };
    for text in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "169.254.170.23",
        "169.254.0.23",
        "169.254.42.42",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "fe80::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        // Teredo: the address is inverted.
        "2001:0:1::5601:5601",
    ] {
        let refused = vet(address(text), &policy).unwrap_err();
        assert_eq!(refused.reason, "a cloud's metadata service", "{text}");
    }
    for text in ["169.254.169.253", "fd00:ec2::253", "2001:0:1::5601:5602"] {
        assert_eq!(vet(address(text), &policy), Ok(()), "{text}");
    }
}

#[test]
fn rejections_name_the_kind_of_address() {
    let refused = vet(address("::ffff:127.0.0.1"), &EgressPolicy::default()).unwrap_err();
    assert_eq!(refused.to_string(), "::ffff:127.0.0.1 is loopback");
    for (text, reason) in [
        ("0.0.0.0", "of this network (0/8)"),
        ("127.0.0.1", "loopback"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("169.254.1.1", "link-local"),
        ("192.0.0.1", "reserved for protocols"),
        ("192.0.2.1", "for documentation"),
        ("192.88.99.1", "a 6to4 relay"),
        ("198.18.0.1", "for benchmarks"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "of this network (0/8)"),
        ("::10.0.0.1", "private"),
        ("::ffff:0:10.0.0.1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("2002:a00:1::1", "private"),
        ("2001:0:1::f5ff:fffe", "private"),
        ("64:ff9b:1::1", "local NAT64"),
        ("fc00::1", "unique local"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "for documentation"),
        ("3fff::1", "for documentation"),
        ("2001:2::1", "reserved for protocols"),
        ("100::1", "not global unicast"),
        ("168.63.129.16", "a cloud's metadata service"),
    ] {
        let refused = vet(address(text), &EgressPolicy::default()).unwrap_err();
        assert_eq!(refused.reason, reason, "{text}");
    }
}

#[test]
fn mail_and_shell_ports_are_rejected() {
    assert!(!vet_port(25) && !vet_port(22) && vet_port(443) && vet_port(3001));
}
