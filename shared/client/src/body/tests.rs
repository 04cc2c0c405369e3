//! Tests of body limits: size limits hold, and bytes are charged while they are held.

use toolgate_model::MaxAnswer;
use toolgate_runtime::{budget::BudgetOwner, drain};

use super::*;
use crate::{
    ReplyBody,
    detect::tests::{endpoint, http},
    fake_server,
    send::{RequestHeaders, send},
};

const MIB: usize = 1024 * 1024;

/// Reads a document of this size with this budget.
async fn read(size: usize, budget: &Arc<MemoryBudget>) -> Result<Bytes, ClientError> {
    read_for(None, size, budget).await
}

/// Reads a document of this size on behalf of an owner.
async fn read_for(
    holder: Option<BudgetOwner>,
    size: usize,
    budget: &Arc<MemoryBudget>,
) -> Result<Bytes, ClientError> {
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, move |_| {
        fake_server::reply(200, "application/json", vec![b'x'; size])
    });
    let endpoint = endpoint(&url.await.unwrap()).with_response_budget(Arc::clone(budget));
    let reply = send(
        &http(),
        &endpoint,
        RequestHeaders::none(),
        Bytes::from("{}"),
    )
    .await?;
    let reply = match holder {
        Some(holder) => reply.charge_to(holder),
        None => reply,
    };
    let ReplyBody::Json(body) = reply.body else {
        panic!("not JSON")
    };
    body.bytes().await
}

#[tokio::test]
async fn a_document_is_limited_to_the_message_size() {
    let budget = MemoryBudget::new(64 * MIB);
    let most = MaxAnswer::default().bytes();
    assert_eq!(read(most, &budget).await.unwrap().len(), most);
    let error = read(most + 1, &budget).await.unwrap_err();
    assert!(
        matches!(error, ClientError::TooLarge(limit) if limit == most),
        "{error}"
    );
}

#[tokio::test]
async fn documents_share_a_budget_and_release_it() {
    let budget = MemoryBudget::new(3 * MIB);
    let first = read(2 * MIB, &budget).await.unwrap();
    let part = first.slice(5..6);
    drop(first);
    let error = read(2 * MIB, &budget).await.unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
    // Small responses are not charged.
    for _ in 0..4 {
        read(SMALL_RESPONSE, &budget).await.unwrap();
    }
    read(MIB, &budget).await.unwrap();
    drop(part);
    read(3 * MIB, &budget).await.unwrap();
}

/// A declared length uses no memory beyond the budget, regardless of the bytes that follow.
#[tokio::test]
async fn an_announced_size_is_charged_before_allocation() {
    let (drain, _trigger) = drain::new();
    let server = drain.clone();
    let url = fake_server::start(&drain, move |_| {
        let (pieces, mut response) = fake_server::stream();
        let headers = response.headers_mut();
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.insert("content-length", (4 * MIB).into());
        server.spawn_unguarded(async move {
            for _ in 0..2 {
                pieces.send(Bytes::from_static(b"xx")).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            pieces.closed().await;
        });
        response
    });
    let budget = MemoryBudget::new(MIB);
    let endpoint = endpoint(&url.await.unwrap()).with_response_budget(budget);
    let reply = send(
        &http(),
        &endpoint,
        RequestHeaders::none(),
        Bytes::from("{}"),
    )
    .await;
    let ReplyBody::Json(body) = reply.unwrap().body else {
        panic!("not JSON")
    };
    let read = tokio::time::timeout(crate::HANG_GUARD, body.bytes()).await;
    let error = read.expect("it is not waited for").unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
}

/// Calls on all cores share the budget: small responses do not touch it.
#[tokio::test]
async fn a_small_response_does_not_touch_the_budget() {
    for (size, counted) in [(SMALL_RESPONSE, false), (SMALL_RESPONSE + 1, true)] {
        let (drain, _trigger) = drain::new();
        let url = fake_server::start(&drain, move |_| {
            fake_server::reply(200, "application/json", vec![b'x'; size])
        });
        let endpoint = endpoint(&url.await.unwrap()).with_response_budget(MemoryBudget::new(MIB));
        let reply = send(
            &http(),
            &endpoint,
            RequestHeaders::none(),
            Bytes::from("{}"),
        )
        .await;
        let ReplyBody::Json(body) = reply.unwrap().body else {
            panic!("not JSON")
        };
        assert_eq!(body.budget.is_some(), counted);
    }
}

#[tokio::test]
async fn response_memory_is_limited_per_budget_owner() {
    let budget = MemoryBudget::new(8 * MIB);
    let [one, other] = ["one", "other"].map(|who| BudgetOwner::of(&who));
    let large = |holder| read_for(Some(holder), MIB + MIB / 2, &budget);
    let held = large(one).await.unwrap();
    let error = large(one).await.unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
    large(other).await.unwrap();
    drop(held);
    large(one).await.unwrap();
}
