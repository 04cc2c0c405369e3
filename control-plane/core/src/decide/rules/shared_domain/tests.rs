//! Tests of the domains that hosts of different owners share.

use super::*;

#[test]
fn domains_of_hosting_tunnel_and_wildcard_services_are_shared() {
    for domain in [
        "co.uk",
        "com",
        "github.io",
        "gitlab.io",
        "pages.dev",
        "workers.dev",
        "vercel.app",
        "netlify.app",
        "herokuapp.com",
        "azurewebsites.net",
        "cloudfront.net",
        "web.app",
        "ngrok.io",
        "ngrok.app",
        "ngrok-free.app",
        "trycloudflare.com",
        "duckdns.org",
        "nip.io",
        "sslip.io",
        "xip.io",
        "localtest.me",
        "lvh.me",
        "traefik.me",
        "loca.lt",
        // One label below them is a public suffix.
        "compute.amazonaws.com",
        "ck",
    ] {
        assert!(SharedDomain::of(domain).is_some(), "{domain}");
    }
}

#[test]
fn names_below_a_wildcard_service_are_shared_at_any_depth() {
    for domain in ["10.0.0.1.nip.io", "app.sslip.io", "a.b.lvh.me"] {
        let shared = SharedDomain::of(domain);
        assert!(matches!(shared, Some(SharedDomain::Service(_))), "{domain}");
    }
}

#[test]
fn domains_of_one_owner_and_of_private_networks_are_not_shared() {
    for domain in [
        "example.com",
        "example.co.uk",
        "project.github.io",
        "team.pages.dev",
        "notnip.io",
        "nip.io.example.com",
        "corp.internal",
        "cluster.local",
        "svc.cluster.local",
        "intranet.lan",
    ] {
        assert_eq!(SharedDomain::of(domain), None, "{domain}");
    }
}

#[test]
fn each_reason_names_the_domain_and_the_next_step() {
    for (domain, named) in [
        ("github.io", "`github.io`"),
        ("compute.amazonaws.com", "`compute.amazonaws.com`"),
        ("1.nip.io", "`nip.io`"),
    ] {
        let told = SharedDomain::of(domain).unwrap().to_string();
        assert!(
            told.contains(named) && told.contains("name the host"),
            "{told}"
        );
    }
}
