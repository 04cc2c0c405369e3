//! Tests of forward proxies: which URLs go through one, what is vetted before, and what the proxy is told.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Response;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::{
    Egress, EgressError, EgressErrorClass, EgressPolicy, EgressRequestBody, EgressResponseBody,
    HostResolver, PoolOptions,
};

fn proxies(settings: &ForwardProxySettings) -> ForwardProxies {
    ForwardProxies::new(settings, ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"]).unwrap()
}

fn of(proxies: &ForwardProxies, url: &str) -> Option<String> {
    proxies
        .of(&url.parse().unwrap())
        .map(|proxy| proxy.to_string())
}

#[test]
fn a_url_goes_through_the_proxy_of_its_scheme_unless_its_host_is_excepted() {
    let all = proxies(&ForwardProxySettings {
        https: "http://tls.example:3128".to_owned(),
        all: "any.example:8080".to_owned(),
        no: "internal.example, .corp.example,10.0.0.0/8,192.0.2.7".to_owned(),
        ..ForwardProxySettings::default()
    });
    for (url, proxy) in [
        ("https://mcp.example.com/mcp", Some("tls.example:3128")),
        ("http://mcp.example.com/mcp", Some("any.example:8080")),
        ("https://notinternal.example/", Some("tls.example:3128")),
        ("https://internal.example/", None),
        ("https://INTERNAL.example:8443/", None),
        ("https://a.internal.example/", None),
        ("https://a.corp.example/", None),
        ("https://10.1.2.3/", None),
        ("https://192.0.2.7/", None),
        ("https://192.0.2.8/", Some("tls.example:3128")),
        ("http://localhost:7300/", None),
        ("http://127.0.0.1/", None),
        ("http://[::1]:80/", None),
    ] {
        assert_eq!(of(&all, url).as_deref(), proxy, "{url}");
    }
    let excepted = proxies(&ForwardProxySettings {
        all: "any.example:8080".to_owned(),
        no: "internal.example, *".to_owned(),
        ..ForwardProxySettings::default()
    });
    for url in ["https://mcp.example.com/", "https://192.0.2.8/"] {
        assert_eq!(of(&excepted, url), None, "{url}");
    }
    let none = proxies(&ForwardProxySettings::default());
    assert!(none.is_empty());
    assert_eq!(of(&none, "https://mcp.example.com/"), None);
}

/// Resolver that knows one name.
struct OneName(&'static str, IpAddr);

impl HostResolver for OneName {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let known = (host == self.0).then_some(vec![self.1]);
        Box::pin(async move { known.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// Proxy that answers every connection with these bytes, and the heads that it read.
#[expect(clippy::disallowed_methods, reason = "the test's own proxy")]
async fn scripted_proxy(response: &'static [u8]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        loop {
            let (mut tcp, _peer) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap());
            tcp.write_all(response).await.unwrap();
        }
    });
    (address, heads)
}

async fn request(
    proxy: SocketAddr,
    resolver: OneName,
    url: &str,
    plain: bool,
) -> Result<Response<EgressResponseBody>, EgressError> {
    let policy = EgressPolicy {
        allow_plain_http: plain,
        proxies: proxies(&ForwardProxySettings {
            all: format!("http://me:pass%20word@{proxy}"),
            ..ForwardProxySettings::default()
        }),
        ..EgressPolicy::default()
    };
    let egress = Egress::with_resolver(policy, Arc::new(resolver)).unwrap();
    let request = Request::get(url).body(EgressRequestBody::empty()).unwrap();
    egress.http(PoolOptions::default()).request(request).await
}

const NOWHERE: OneName = OneName("nowhere.example", IpAddr::V4(Ipv4Addr::UNSPECIFIED));

#[tokio::test]
async fn what_is_known_of_a_server_is_vetted_before_the_proxy_is_asked() {
    let (proxy, heads) =
        scripted_proxy(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let private = || OneName("private.example", "10.0.0.1".parse().unwrap());
    for url in [
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://127.0.0.2/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://private.example/",
        "https://mcp.example.com:25/",
        "https://user@mcp.example.com/",
        // Over plain HTTP nothing is known of a name.
        "http://mcp.example.com/",
    ] {
        let error = request(proxy, private(), url, false).await.unwrap_err();
        assert_eq!(error.class(), EgressErrorClass::Denied, "{url}: {error}");
    }
    assert!(heads.lock().unwrap().is_empty());
}

/// A proxy resolves names with servers of its own: that a name has no address here does not show that it leads nowhere.
#[tokio::test]
async fn names_of_metadata_services_are_refused_before_the_proxy_is_asked() {
    let (proxy, heads) =
        scripted_proxy(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    for host in [
        "metadata.google.internal",
        "METADATA.google.Internal",
        "metadata.google.internal.",
        "metadata.goog",
        "metadata",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        // Addresses, in every spelling that resolvers read.
        "169.254.169.254",
        "169.254.169.254.",
        "0xa9fea9fe",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "2852039166",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        // Services that answer with the address in the name.
        "169.254.169.254.nip.io",
        "x.169-254-169-254.sslip.io",
        "a9fea9fe.nip.io",
    ] {
        for (url, plain) in [
            (format!("https://{host}/latest"), false),
            (format!("http://{host}/latest"), true),
        ] {
            let error = request(proxy, NOWHERE, &url, plain).await.unwrap_err();
            assert_eq!(error.class(), EgressErrorClass::Denied, "{url}: {error}");
        }
    }
    assert!(heads.lock().unwrap().is_empty());
    for host in ["metadata.example.com", "1169.254.169.254.example.com"] {
        let url = format!("https://{host}/");
        let error = request(proxy, NOWHERE, &url, false).await.unwrap_err();
        assert_eq!(error.class(), EgressErrorClass::ForwardProxy, "{host}");
    }
}

#[tokio::test]
async fn a_tunnel_names_host_and_port_and_the_refusal_names_the_proxy() {
    let (proxy, heads) =
        scripted_proxy(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let error = request(
        proxy,
        NOWHERE,
        "https://mcp.example.com/path?secret=1",
        false,
    )
    .await;
    let error = error.unwrap_err();
    let words = error.to_string();
    assert_eq!(error.class(), EgressErrorClass::ForwardProxy);
    assert!(error.connect_failed());
    assert!(words.contains(&format!("`{proxy}`")), "{words}");
    assert!(
        words.contains("HTTP 403 to CONNECT mcp.example.com:443"),
        "{words}"
    );
    let head = heads.lock().unwrap().pop().unwrap();
    assert!(
        head.starts_with("CONNECT mcp.example.com:443 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("proxy-authorization: Basic bWU6cGFzcyB3b3Jk\r\n"),
        "{head}"
    );
    assert!(!head.contains("secret"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_wants_other_credentials_or_is_no_proxy_is_named() {
    for (response, words) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"[..],
            "HTTP 407",
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://x/\r\ncontent-length: 0\r\n\r\n",
            "HTTP 302",
        ),
        (b"SSH-2.0-x\r\n\r\n", "it did not open a tunnel"),
        (
            b"HTTP/1.1 200 OK\r\n\r\nearly",
            "sent data before the tunnel was used",
        ),
    ] {
        let (proxy, _heads) = scripted_proxy(response).await;
        let error = request(proxy, NOWHERE, "https://mcp.example.com/", false).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(&format!("`{proxy}`")) && error.contains(words),
            "{error}"
        );
        assert!(
            !error.contains("pass word") && !error.contains("me:"),
            "{error}"
        );
    }
    let (closed, _heads) = scripted_proxy(b"").await;
    let error = request(closed, NOWHERE, "https://mcp.example.com/", false).await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains(&format!("`{closed}`"))
    );
}

#[tokio::test]
async fn a_request_over_plain_http_is_given_to_the_proxy_as_a_whole() {
    let (proxy, heads) = scripted_proxy(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let url = "http://mcp.example.com:8080/path?query=1";
    let response = request(proxy, NOWHERE, url, true).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let head = heads.lock().unwrap().pop().unwrap();
    assert!(
        head.starts_with(&format!("GET {url} HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(head.contains("host: mcp.example.com:8080\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: Basic "), "{head}");
    // A server could answer this after it has executed the request: it is not a failure to connect.
    let (proxy, _heads) = scripted_proxy(b"HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n").await;
    let error = request(proxy, NOWHERE, url, true).await.unwrap_err();
    assert!(
        !error.connect_failed() && error.to_string().contains(&format!("`{proxy}`")),
        "{error}"
    );
}

/// Resolver that knows no name, and counts the look-ups.
#[derive(Default)]
struct NoName(AtomicUsize);

impl HostResolver for NoName {
    fn resolve<'a>(
        &'a self,
        _host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Err(io::Error::other("no such name")) })
    }
}

/// The clients of an egress, each with connections of its own, share what is known of a name.
#[tokio::test]
async fn a_name_without_an_address_here_is_not_looked_up_for_each_connection() {
    let (proxy, heads) =
        scripted_proxy(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let policy = EgressPolicy {
        proxies: proxies(&ForwardProxySettings {
            all: format!("http://{proxy}"),
            ..ForwardProxySettings::default()
        }),
        ..EgressPolicy::default()
    };
    let resolver = Arc::<NoName>::default();
    let egress = Egress::with_resolver(policy, Arc::clone(&resolver) as _).unwrap();
    for _ in 0..2 {
        let client = egress.http(PoolOptions::default());
        for host in ["one", "two", "one"] {
            let request = Request::get(format!("https://{host}.example/"));
            let request = request.body(EgressRequestBody::empty()).unwrap();
            client.request(request).await.unwrap_err();
        }
    }
    assert_eq!(heads.lock().unwrap().len(), 6, "connections");
    assert_eq!(resolver.0.load(Ordering::SeqCst), 2, "look-ups");
}
