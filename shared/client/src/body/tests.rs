//! Tests of body limits: size limits hold, and bytes are charged while they are held.

use toolgate_model::MaxAnswer;
use toolgate_runtime::{budget::Holder, drain};

use super::*;
use crate::{
    ReplyBody,
    detect::tests::{endpoint, http},
    send::{Headers, send},
    stand_in,
};

const MIB: usize = 1024 * 1024;

/// Reads a document of this size with this budget.
async fn read(size: usize, budget: &Arc<Budget>) -> Result<Bytes, ClientError> {
    read_for(None, size, budget).await
}

/// Reads a document of this size on behalf of an owner.
async fn read_for(
    holder: Option<Holder>,
    size: usize,
    budget: &Arc<Budget>,
) -> Result<Bytes, ClientError> {
    let (drain, _trigger) = drain::new();
    let url = stand_in::start(&drain, move |_| {
        stand_in::reply(200, "application/json", vec![b'x'; size])
    });
    let endpoint = endpoint(&url.await.unwrap()).counted(Arc::clone(budget));
    let reply = send(&http(), &endpoint, Headers::none(), Bytes::from("{}")).await?;
    let reply = match holder {
        Some(holder) => reply.held_by(holder),
        None => reply,
    };
    let ReplyBody::Json(body) = reply.body else {
        panic!("not JSON")
    };
    body.bytes().await
}

#[tokio::test]
async fn a_document_may_have_what_a_message_may_and_not_a_byte_more() {
    let budget = Budget::new(64 * MIB);
    let most = MaxAnswer::default().bytes();
    assert_eq!(read(most, &budget).await.unwrap().len(), most);
    let error = read(most + 1, &budget).await.unwrap_err();
    assert!(
        matches!(error, ClientError::TooLarge(limit) if limit == most),
        "{error}"
    );
}

#[tokio::test]
async fn documents_share_a_budget_and_give_it_back() {
    let budget = Budget::new(3 * MIB);
    let first = read(2 * MIB, &budget).await.unwrap();
    let part = first.slice(5..6);
    drop(first);
    let error = read(2 * MIB, &budget).await.unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
    // Small responses are not charged.
    for _ in 0..4 {
        read(SMALL_ANSWER, &budget).await.unwrap();
    }
    read(MIB, &budget).await.unwrap();
    drop(part);
    read(3 * MIB, &budget).await.unwrap();
}

/// A declared length uses no memory beyond the budget, regardless of the bytes that follow.
#[tokio::test]
async fn an_announced_size_is_counted_before_it_is_reserved() {
    let (drain, _trigger) = drain::new();
    let server = drain.clone();
    let url = stand_in::start(&drain, move |_| {
        let (pieces, mut response) = stand_in::stream();
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
    let budget = Budget::new(MIB);
    let endpoint = endpoint(&url.await.unwrap()).counted(budget);
    let reply = send(&http(), &endpoint, Headers::none(), Bytes::from("{}")).await;
    let ReplyBody::Json(body) = reply.unwrap().body else {
        panic!("not JSON")
    };
    let read = tokio::time::timeout(Duration::from_secs(5), body.bytes()).await;
    let error = read.expect("it is not waited for").unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
}

/// Calls on all cores share the budget: small responses do not touch it.
#[tokio::test]
async fn a_small_answer_does_not_touch_the_budget() {
    for (size, counted) in [(SMALL_ANSWER, false), (SMALL_ANSWER + 1, true)] {
        let (drain, _trigger) = drain::new();
        let url = stand_in::start(&drain, move |_| {
            stand_in::reply(200, "application/json", vec![b'x'; size])
        });
        let endpoint = endpoint(&url.await.unwrap()).counted(Budget::new(MIB));
        let reply = send(&http(), &endpoint, Headers::none(), Bytes::from("{}")).await;
        let ReplyBody::Json(body) = reply.unwrap().body else {
            panic!("not JSON")
        };
        assert_eq!(body.held.is_some(), counted);
    }
}

#[tokio::test]
async fn one_holder_cannot_take_the_memory_of_answers_from_others() {
    let budget = Budget::new(8 * MIB);
    let [one, other] = ["one", "other"].map(|who| Holder::of(&who));
    let large = |holder| read_for(Some(holder), MIB + MIB / 2, &budget);
    let held = large(one).await.unwrap();
    let error = large(one).await.unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
    large(other).await.unwrap();
    drop(held);
    large(one).await.unwrap();
}
