//! Absent tokens are forgotten, and bounded in number.

use super::*;

fn hash(number: usize) -> TokenHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    TokenHash(bytes)
}

#[tokio::test(start_paused = true)]
async fn an_absent_token_is_forgotten_after_a_while() {
    let tokens = UnknownTokens::default();
    assert!(!tokens.is_absent(&hash(1)));
    tokens.note_absent(hash(1));
    assert!(tokens.is_absent(&hash(1)));
    tokio::time::advance(ABSENT_FOR).await;
    assert!(tokens.is_absent(&hash(1)));
    tokio::time::advance(ABSENT_FOR).await;
    assert!(!tokens.is_absent(&hash(1)));
    tokens.note_absent(hash(1));
    tokio::time::advance(2 * ABSENT_FOR).await;
    assert!(!tokens.is_absent(&hash(1)));
}

#[test]
fn absent_tokens_are_bounded() {
    let tokens = UnknownTokens::default();
    for number in 0..3 * ABSENT {
        tokens.note_absent(hash(number));
    }
    let absent = tokens.absent();
    assert!(absent.current.len() + absent.previous.len() <= 2 * ABSENT);
}

#[test]
fn sixty_four_unknown_tokens_are_looked_up_at_a_time() {
    let tokens = UnknownTokens::default();
    let mut places: Vec<_> = (0..64).map(|_| tokens.place()).collect();
    assert!(places.iter().all(Option::is_some));
    assert!(tokens.place().is_none());
    places.pop();
    assert!(tokens.place().is_some());
}
