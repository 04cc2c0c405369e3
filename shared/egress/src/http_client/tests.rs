//! Tests of the HTTP client.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::*;
use crate::{certificate::CertificateProblem, error::EgressErrorClass};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Resolver with scripted answers that counts resolutions.
#[derive(Default)]
struct FakeResolver {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl HostResolver for FakeResolver {
    fn resolve<'a>(
        &'a self,
        _host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Box::pin(async move { Ok(answer) })
    }
}

fn names(answers: &[&[&str]]) -> Arc<FakeResolver> {
    let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
    let answers = Mutex::new(answers.iter().map(parse).collect());
    Arc::new(FakeResolver {
        answers,
        asked: AtomicUsize::new(0),
    })
}

fn loopback() -> EgressPolicy {
    EgressPolicy {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    }
}

/// Starts a server that answers every request with `METHOD path host`.
#[expect(clippy::disallowed_methods, reason = "the test's own server")]
async fn server(tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _peer) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let answer = service_fn(async |request: Request<Incoming>| {
                    let host = request.headers().get(header::HOST).cloned();
                    let mut said =
                        format!("{} {} {host:?}", request.method(), request.uri().path());
                    if request.uri().path() == "/agent" {
                        said = format!("{:?}", request.headers().get(USER_AGENT));
                    }
                    let mut answer = Response::new(Full::new(Bytes::from(said)));
                    if request.uri().path() == "/away" {
                        *answer.status_mut() = StatusCode::FOUND;
                        let to = header::HeaderValue::from_static("http://169.254.169.254/");
                        answer.headers_mut().insert(header::LOCATION, to);
                    }
                    Ok::<_, hyper::Error>(answer)
                });
                let serve = http1::Builder::new();
                let _ended = match tls {
                    None => serve.serve_connection(TokioIo::new(tcp), answer).await.ok(),
                    Some(tls) => match tokio_rustls::TlsAcceptor::from(tls).accept(tcp).await {
                        Ok(tls) => serve.serve_connection(TokioIo::new(tls), answer).await.ok(),
                        Err(_no_tls) => None,
                    },
                };
            });
        }
    });
    address
}

fn get(url: &str) -> Request<EgressRequestBody> {
    Request::builder()
        .method(Method::GET)
        .uri(url)
        .body(EgressRequestBody::empty())
        .unwrap()
}

async fn text(answer: Response<EgressResponseBody>) -> String {
    let body = read(answer.into_body()).await;
    String::from_utf8(body.to_vec()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "limited")]
async fn read(body: EgressResponseBody) -> Bytes {
    Limited::new(body, 64 * 1024)
        .collect()
        .await
        .unwrap()
        .to_bytes()
}

fn client(policy: EgressPolicy, names: Arc<FakeResolver>) -> HttpClient {
    Egress::with_resolver(policy, names)
        .unwrap()
        .http(PoolOptions::default())
}

#[tokio::test]
async fn every_request_names_the_software_that_sends_it() {
    let address = server(None).await;
    let client = client(loopback(), names(&[&["127.0.0.1"]]));
    let url = format!("http://tools.test:{}/agent", address.port());
    let answer = client.request(get(&url)).await.unwrap();
    let product = concat!("toolgate/", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(answer).await, format!("Some({product:?})"));
    // A configured header of the same name takes precedence.
    let mut request = get(&url);
    let own = HeaderValue::from_static("own/1");
    request.headers_mut().insert(USER_AGENT, own);
    let answer = client.request(request).await.unwrap();
    assert_eq!(text(answer).await, "Some(\"own/1\")");
}

#[tokio::test]
async fn a_request_reaches_an_allowed_server_with_its_host() {
    let address = server(None).await;
    let client = client(loopback(), names(&[&["127.0.0.1"]]));
    let url = format!("http://tools.test:{}/mcp", address.port());
    let answer = client.request(get(&url)).await.unwrap();
    let expected = format!("GET /mcp Some(\"tools.test:{}\")", address.port());
    assert_eq!(text(answer).await, expected);
}

#[tokio::test]
async fn connections_are_reused_without_a_new_dns_lookup() {
    let address = server(None).await;
    let names = names(&[&["127.0.0.1"]]);
    let client = client(loopback(), names.clone());
    let url = format!("http://tools.test:{}/", address.port());
    for _request in 0..5 {
        text(client.request(get(&url)).await.unwrap()).await;
    }
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn forbidden_addresses_are_unreachable_in_every_spelling() {
    let address = server(None).await;
    let client = client(
        EgressPolicy {
            allow_plain_http: true,
            ..EgressPolicy::default()
        },
        names(&[&["127.0.0.1"]]),
    );
    let hosts = [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "0.0.0.0",
        "localhost",
        "tools.test",
    ];
    for host in hosts {
        let url = format!("http://{host}:{}/", address.port());
        let error = client.request(get(&url)).await.unwrap_err();
        assert_eq!(error.class(), EgressErrorClass::Denied, "{host}: {error}");
        assert!(error.connect_failed(), "{host}");
    }
}

#[tokio::test]
async fn a_name_with_one_forbidden_address_is_rejected() {
    let client = client(EgressPolicy::default(), names(&[&["8.8.8.8", "10.0.0.1"]]));
    let error = client
        .request(get("https://tools.test/"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "not allowed: 10.0.0.1 is private");
}

#[tokio::test]
async fn dns_rebinding_between_check_and_use_has_no_effect() {
    // Resolved once: the second, forbidden answer is never requested.
    let address = server(None).await;
    let names = names(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let client = client(loopback(), names.clone());
    let url = format!("http://tools.test:{}/", address.port());
    text(client.request(get(&url)).await.unwrap()).await;
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn plain_http_must_be_allowed() {
    let client = client(EgressPolicy::default(), names(&[&["8.8.8.8"]]));
    let error = client.request(get("http://tools.test/")).await.unwrap_err();
    assert!(error.to_string().contains("use https"), "{error}");
}

#[tokio::test]
async fn other_schemes_users_and_ports_are_refused() {
    let client = client(loopback(), names(&[&["127.0.0.1"]]));
    for url in [
        "ftp://tools.test/",
        "http://me@tools.test/",
        "http://tools.test:22/",
        "/path",
    ] {
        let error = client.request(get(url)).await.unwrap_err();
        assert!(error.connect_failed(), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let address = server(None).await;
    let client = client(loopback(), names(&[&["127.0.0.1"]]));
    let url = format!("http://127.0.0.1:{}/away", address.port());
    let answer = client.request(get(&url)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
}

#[tokio::test]
async fn closed_and_filtered_ports_give_the_same_error_and_an_unknown_name_another() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let closed = client(loopback(), names(&[&["127.0.0.1"]]));
    let url = format!("http://tools.test:{port}/");
    let closed = closed.request(get(&url)).await.unwrap_err();
    let unknown = client(loopback(), names(&[&[]]))
        .request(get(&url))
        .await
        .unwrap_err();
    assert!(closed.connect_failed() && unknown.connect_failed());
    let filtered = EgressError::ConnectTimeout {
        host: "tools.test".to_owned(),
    };
    assert_eq!(closed.class(), EgressErrorClass::Unreachable);
    assert_eq!(filtered.class(), closed.class());
    assert_eq!(unknown.class(), EgressErrorClass::Unresolved);
}

#[tokio::test]
async fn a_server_that_accepts_and_sends_nothing_times_out() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let egress = Egress::with_resolver(loopback(), names(&[&["127.0.0.1"]])).unwrap();
    let connect_timeout = Duration::from_millis(50);
    let client = egress.http(PoolOptions {
        connect_timeout,
        ..PoolOptions::default()
    });
    // The TLS handshake never completes.
    let url = format!("https://tools.test:{}/", address.port());
    let error = client.request(get(&url)).await.unwrap_err();
    assert!(
        matches!(error, EgressError::ConnectTimeout { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_broken_connection_does_not_count_as_a_connect_failure() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = client(loopback(), names(&[&["127.0.0.1"]]));
    let request = get(&format!("http://127.0.0.1:{}/", address.port()));
    let hang_up = async {
        use tokio::io::AsyncReadExt as _;
        let (mut tcp, _peer) = listener.accept().await.unwrap();
        let mut head = [0; 16];
        tcp.read_exact(&mut head).await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.request(request), hang_up);
    let error = answer.unwrap_err();
    assert!(!error.connect_failed(), "{error}");
}

/// Issues a certificate for `name`; returns the server configuration and the root certificate.
fn issued(name: &str) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    issued_with(rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap())
}

/// Issues a certificate with these parameters; returns the server configuration and the root certificate.
fn issued_with(params: rcgen::CertificateParams) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap().der().clone();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let key = key.serialize_pem();
    let identity =
        toolgate_runtime::tls::TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes())
            .unwrap();
    let identity = toolgate_runtime::tls::ReloadableIdentity::new(identity).unwrap();
    let config = toolgate_runtime::tls::server(&identity, &[b"http/1.1"]).unwrap();
    (config, root)
}

#[tokio::test]
async fn tls_always_verifies_name_and_authority() {
    let (config, root) = issued("tools.test");
    let address = server(Some(config)).await;
    let trusting = EgressPolicy {
        extra_roots: vec![root],
        ..loopback()
    };
    let ask = async |policy: EgressPolicy, host: &str| {
        let client = client(policy, names(&[&["127.0.0.1"]]));
        client
            .request(get(&format!("https://{host}:{}/", address.port())))
            .await
    };
    let answer = ask(trusting.clone(), "tools.test").await.unwrap();
    assert!(text(answer).await.starts_with("GET /"));
    for (policy, host) in [(trusting, "other.test"), (loopback(), "tools.test")] {
        let error = ask(policy, host).await.unwrap_err();
        assert_eq!(error.class(), EgressErrorClass::Tls, "{error}");
        assert!(error.connect_failed());
    }
}

#[tokio::test]
async fn a_rejected_certificate_is_told_with_its_reason() {
    let params = || rcgen::CertificateParams::new(vec!["tools.test".to_owned()]).unwrap();
    let mut authority = params();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut expired = params();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = params();
    early.not_before = rcgen::date_time_ymd(4000, 1, 1);
    for (params, trusted, host, problem) in [
        (
            authority.clone(),
            true,
            "tools.test",
            CertificateProblem::CaAsServer,
        ),
        (
            authority,
            false,
            "tools.test",
            CertificateProblem::CaAsServer,
        ),
        (expired, true, "tools.test", CertificateProblem::Expired),
        (early, true, "tools.test", CertificateProblem::NotYetValid),
        (params(), true, "other.test", CertificateProblem::OtherName),
        (
            params(),
            false,
            "tools.test",
            CertificateProblem::UnknownAuthority,
        ),
    ] {
        let (config, root) = issued_with(params);
        let address = server(Some(config)).await;
        let policy = EgressPolicy {
            extra_roots: Vec::from_iter(trusted.then_some(root)),
            ..loopback()
        };
        let client = client(policy, names(&[&["127.0.0.1"]]));
        let url = format!("https://{host}:{}/", address.port());
        let error = client.request(get(&url)).await.unwrap_err();
        assert_eq!(error.certificate_problem(), Some(problem), "{error}");
        assert_eq!(error.class(), EgressErrorClass::Tls);
        assert!(error.connect_failed());
    }
}
