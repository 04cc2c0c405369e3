//! Answers arrive in order, and as many as there may be elicitations.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

fn id(number: u8) -> ElicitationId {
    ElicitationId {
        proxy: "proxy-1".parse().unwrap(),
        random: [number; 16],
    }
}

#[tokio::test]
async fn there_is_room_for_all_answers_and_they_arrive_in_order() {
    let mut channel = ElicitationResponseChannel::default();
    let early = timeout(Duration::from_millis(20), channel.next()).await;
    assert!(early.is_err(), "no client was asked");
    let sender = channel.sender();
    let all = u8::try_from(MAX_PENDING).unwrap();
    for number in 0..=all {
        sender.send(id(number), Bytes::from(vec![number]));
    }
    for number in 0..all {
        assert_eq!(
            channel.next().await,
            (id(number), Bytes::from(vec![number]))
        );
    }
    // One more than there may be elicitations is dropped, and others follow.
    channel.sender().send(id(99), Bytes::new());
    assert_eq!(channel.next().await.0, id(99));
}
