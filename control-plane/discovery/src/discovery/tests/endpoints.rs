//! Tests of servers with several endpoints.

use toolgate_model::{Endpoint, EndpointList};

use super::*;

/// Returns the URL of a port at which nothing listens.
async fn dead_url() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/dead?key=secret", listener.local_addr().unwrap())
}

fn target_with(id: &str, urls: &[&str]) -> ProbeTarget {
    let endpoints = urls
        .iter()
        .map(|url| Endpoint::from(url.parse::<url::Url>().unwrap()));
    ProbeTarget {
        endpoints: EndpointList::new(endpoints.collect()).unwrap(),
        ..target(id, urls[0])
    }
}

#[tokio::test]
async fn a_probe_goes_on_to_the_next_endpoint_if_no_connection_can_be_made_and_names_the_dead_one()
{
    let house = fixture(MemorySink::default());
    let live = house.serve(|seen| modern(&seen)).await;
    let dead = dead_url().await;
    house.want([target_with("s", &[&dead, &live])]);
    let seen = house.kept("s", |it| it.era.is_some()).await;
    assert_eq!(names(&seen), ["a", "b"]);
    let problem = seen.problem.unwrap();
    assert_eq!(problem.outcome, ProbeOutcome::Warned);
    let origin = dead.strip_suffix("/dead?key=secret").unwrap();
    let expected = format!(
        "endpoint 1 of 2 ({origin}) is not used: no connection to it could be made; check that it is up, and the host name \
         and port in its URL"
    );
    assert_eq!(problem.text, expected);
}

#[tokio::test]
async fn an_endpoint_that_answers_is_the_server_whatever_it_answers() {
    let house = fixture(MemorySink::default());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let refusing = house
        .serve(|_| fake_server::reply(401, "text/plain", ""))
        .await;
    let other = house
        .serve(move |seen| {
            counted.fetch_add(1, Ordering::SeqCst);
            modern(&seen)
        })
        .await;
    let dead = dead_url().await;
    house.want([target_with("s", &[&dead, &refusing, &other])]);
    let problem = house.kept("s", |_| true).await.problem.unwrap();
    assert_eq!(problem.failure, Some(ProbeFailure::Credential));
    assert!(
        problem.text.starts_with("endpoint 2 of 3"),
        "{}",
        problem.text
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_none_of_whose_endpoints_can_be_connected_is_unreachable() {
    let house = fixture(MemorySink::default());
    let (first, second) = (dead_url().await, dead_url().await);
    house.want([target_with("s", &[&first, &second])]);
    let problem = house.kept("s", |_| true).await.problem.unwrap();
    assert_eq!(problem.outcome, ProbeOutcome::Failed);
    assert_eq!(problem.failure, Some(ProbeFailure::Unreachable));
    assert!(
        problem.text.starts_with("endpoint 2 of 2"),
        "{}",
        problem.text
    );
}
