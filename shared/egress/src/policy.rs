//! Address policy. The allow-list has one entry, global unicast. It is applied after every embedding of an IPv4 address
//! in an IPv6 address has been resolved. Operators add their own networks, which are compared with the address as written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

use crate::forward_proxy::ForwardProxies;

/// Policy of outbound connections.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    /// Networks allowed although they are not global, e.g. `10.20.0.0/16`; plain HTTP is allowed too. IPv6 addresses that
    /// embed an IPv4 address are in IPv6 networks only.
    pub allow_networks: Vec<IpNet>,
    /// True if plain HTTP is allowed to every allowed address.
    pub allow_plain_http: bool,
    /// Certificate authorities trusted in addition to the system's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Proxies that connections go through.
    pub proxies: ForwardProxies,
}

/// Address that may not be connected to, with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {reason}")]
pub struct ForbiddenAddress {
    /// Address as resolved or written.
    pub address: IpAddr,
    /// Description of the address class.
    pub reason: &'static str,
}

/// IPv4 addresses of cloud metadata services, which serve instance credentials. No allow-list opens these.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254),
    // Credentials of containers: ECS, EKS.
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    // Azure, Alibaba, Oracle, Tencent, Scaleway.
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(169, 254, 42, 42),
];

/// IPv6 addresses of cloud metadata services.
const METADATA_V6: [Ipv6Addr; 6] = [
    // EC2, EKS.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    // Google, Oracle, Scaleway, OpenStack.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// Names of cloud metadata services. The addresses behind them are refused; the names are for proxies that resolve a name
/// themselves.
const METADATA_NAMES: [&str; 9] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
];

/// Ports of protocols that could misinterpret an HTTP request as their own.
const FORBIDDEN_PORTS: [u16; 22] = [
    0, 7, 9, 13, 19, 20, 21, 22, 23, 25, 53, 110, 111, 119, 143, 445, 465, 514, 587, 993, 995, 6000,
];

/// Returns an error unless `address` may be connected to under `policy`.
pub fn vet(address: IpAddr, policy: &EgressPolicy) -> Result<(), ForbiddenAddress> {
    let refused = |class| {
        Err(ForbiddenAddress {
            address,
            reason: class,
        })
    };
    let unwrapped = unwrap(address);
    if is_metadata(unwrapped) {
        return refused("a cloud's metadata service");
    }
    if is_allowed(address, policy) {
        return Ok(());
    }
    match class(unwrapped) {
        None => Ok(()),
        Some(class) => refused(class),
    }
}

/// Returns an error unless plain HTTP is allowed to `address`, which must have passed [`vet`].
pub fn vet_plain(address: IpAddr, policy: &EgressPolicy) -> Result<(), ForbiddenAddress> {
    if policy.allow_plain_http || is_allowed(address, policy) {
        return Ok(());
    }
    Err(ForbiddenAddress {
        address,
        reason: "not allowed without TLS: use https, or allow its network",
    })
}

/// Returns `true` if `port` may be connected to.
pub fn vet_port(port: u16) -> bool {
    !FORBIDDEN_PORTS.contains(&port)
}

/// Returns `true` if the operator allowed `address` as it is written. An allowed IPv4 network does not open the IPv6
/// addresses that embed its own: a NAT64 or 6to4 gateway may lead to another host of that address.
fn is_allowed(address: IpAddr, policy: &EgressPolicy) -> bool {
    let mut networks = policy.allow_networks.iter();
    networks.any(|network| network.contains(&address))
}

/// Returns `true` if a domain name is that of a cloud metadata service, or of a service that answers with the address written
/// in the name, for such an address. `name` is in lower case, as URLs have it.
pub fn names_metadata(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    // In a name, a hyphen may stand for the dot, or for the colon, of an address.
    let dotted = format!(".{}.", name.replace('-', "."));
    let contains_address = |address: &Ipv4Addr| {
        let hex = format!(".{:08x}.", u32::from(*address));
        dotted.contains(&format!(".{address}.")) || dotted.contains(&hex)
    };
    METADATA_NAMES.contains(&name) || METADATA_V4.iter().any(contains_address)
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => METADATA_V6.contains(&v6),
    }
}

/// Returns the address that packets finally reach: extracts an embedded IPv4 address.
fn unwrap(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
    }
}

fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        // `::` and `::1` embed no address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible, IPv4-mapped, IPv4-translated (SIIT).
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // NAT64, well-known prefix.
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some(pair(high, low)),
        // Teredo: the client's address, inverted.
        [0x2001, 0, _, _, _, _, high, low] => Some(pair(!high, !low)),
        _ => None,
    }
}

/// Returns the class of an address that is not global unicast; `None` for global unicast.
fn class(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

fn class_v4(v4: Ipv4Addr) -> Option<&'static str> {
    match v4.octets() {
        [0, ..] => Some("of this network (0/8)"),
        [127, ..] => Some("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("private"),
        [100, 64..=127, ..] => Some("carrier-grade NAT"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 0, _] => Some("reserved for protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("for documentation"),
        [192, 88, 99, _] => Some("a 6to4 relay"),
        [198, 18..=19, ..] => Some("for benchmarks"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn class_v6(v6: Ipv6Addr) -> Option<&'static str> {
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0x64, 0xff9b, 1, ..] => Some("local NAT64"),
        [0xfc00..=0xfdff, ..] => Some("unique local"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("for documentation"),
        // 2001::/23 is reserved for protocols (Teredo, benchmarking, ORCHID, …). Embedded addresses were extracted
        // before.
        [0x2001, 0..=0x1ff, ..] => Some("reserved for protocols"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("not global unicast"),
    }
}

#[cfg(test)]
mod tests;
