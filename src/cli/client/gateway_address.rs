//! Address of a gateway as the deployment tells it: proxies tell the control plane the name and port at which clients reach
//! them, or the address of their listener if no name is set. Where the address is a guess, the reason and the setting are told.

use std::net::IpAddr;

use serde_json::Value;
use url::{Host, Url};

/// Default address of a proxy.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7300";

/// Next step for an address that is a guess.
pub const ADDRESS_ADVICE: &str = "--endpoint URL or TOOLGATE_ENDPOINT gives the address; `--public-host HOST[:PORT]` of each proxy lets the control \
     plane tell it";

/// Address of a proxy, or of the balancer before the proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEndpoint {
    /// URL, with or without the path of a gateway.
    pub url: String,
    /// Reason why the address may be wrong; `None` if the deployment tells it.
    pub doubt: Option<String>,
}

/// Place that an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressScope {
    /// A name, or an address of a network.
    Network,
    /// This machine only.
    Loopback,
    /// All addresses of the machine of the proxy, which is no address for clients.
    Unspecified,
}

impl FoundEndpoint {
    /// Returns an address that the user has given.
    pub fn given(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            doubt: None,
        }
    }

    /// Returns the default address, with the reason why no other is known.
    pub fn unknown(reason: &str) -> Self {
        Self {
            url: DEFAULT_ENDPOINT.to_owned(),
            doubt: Some(reason.to_owned()),
        }
    }

    /// Chooses among the addresses that proxies tell. `admin` is the address of the admin API, which shows whether the proxies
    /// are on this machine.
    pub fn among(told: &[String], admin: &str) -> Self {
        let urls: Vec<Url> = told.iter().filter_map(|it| parse(it)).collect();
        let scoped = |scope| urls.iter().filter(move |url| scope_of(url) == scope);
        let mut published = scoped(AddressScope::Network);
        if let Some(first) = published.next() {
            let others: Vec<_> = published
                .map(origin)
                .filter(|it| *it != origin(first))
                .collect();
            let doubt = (!others.is_empty()).then(|| {
                format!(
                    "it is the address of one proxy; others tell {}, and a balancer before them has an address of its own",
                    others.join(", ")
                )
            });
            return Self {
                url: text_of(first),
                doubt,
            };
        }
        let Some(first) = scoped(AddressScope::Loopback)
            .chain(scoped(AddressScope::Unspecified))
            .next()
        else {
            return Self::unknown("no connected proxy tells its address");
        };
        let admin = parse(admin);
        let is_local = admin
            .as_ref()
            .is_none_or(|it| scope_of(it) != AddressScope::Network);
        let told = text_of(first);
        match (scope_of(first), is_local) {
            (_, true) => Self {
                url: connectable_url(&told),
                doubt: None,
            },
            (AddressScope::Unspecified, false) => Self {
                url: at_host_of(first, admin.as_ref()),
                doubt: Some(format!(
                    "the proxy listens on all addresses of its machine ({}) and tells no name for clients; the host is that of the \
                     admin API",
                    origin(first)
                )),
            },
            (AddressScope::Loopback | AddressScope::Network, false) => Self {
                url: told,
                doubt: Some(format!(
                    "the proxy listens at {}, which only its own machine reaches, and tells no name for clients",
                    origin(first)
                )),
            },
        }
    }
}

/// Returns the addresses that the connected proxies tell.
pub fn listeners(proxies: &[Value]) -> Vec<String> {
    let connected = proxies.iter().filter(|proxy| proxy["connected"] == true);
    let addresses = connected.filter_map(|proxy| proxy["listen"].as_str());
    let known = addresses.filter(|address| !address.is_empty());
    known.map(str::to_owned).collect()
}

/// Converts the address of a listener to a URL that can be connected to from its machine.
pub fn connectable_url(listen: &str) -> String {
    let listen = listen
        .replace("0.0.0.0:", "127.0.0.1:")
        .replace("[::]:", "[::1]:");
    if listen.contains("://") {
        listen
    } else {
        format!("http://{listen}")
    }
}

fn parse(address: &str) -> Option<Url> {
    let url = match address.contains("://") {
        true => Url::parse(address),
        false => Url::parse(&format!("http://{address}")),
    };
    url.ok().filter(Url::has_host)
}

fn scope_of(url: &Url) -> AddressScope {
    let of_address = |address: IpAddr| match (address.is_unspecified(), address.is_loopback()) {
        (true, _) => AddressScope::Unspecified,
        (false, true) => AddressScope::Loopback,
        (false, false) => AddressScope::Network,
    };
    match url.host() {
        Some(Host::Ipv4(address)) => of_address(address.into()),
        Some(Host::Ipv6(address)) => of_address(address.into()),
        Some(Host::Domain("localhost")) => AddressScope::Loopback,
        Some(Host::Domain(_)) | None => AddressScope::Network,
    }
}

/// Returns the URL of a listener at the host of the admin API.
fn at_host_of(listener: &Url, admin: Option<&Url>) -> String {
    let mut url = listener.clone();
    // A host that does not fit leaves the URL as it is.
    let _unchanged = url.set_host(admin.and_then(Url::host_str));
    text_of(&url)
}

/// Returns the URL without the slash that stands for an empty path.
fn text_of(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests;
