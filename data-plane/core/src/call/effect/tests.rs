//! Effects keep their order, inline or not.

use super::*;

#[test]
fn effects_keep_their_order_and_two_need_no_allocation() {
    let mut effects = CallEffects::default();
    let all: Vec<CallEffect> = (0..5).map(CallEffect::AskClient).collect();
    for (count, effect) in all.iter().enumerate() {
        assert_eq!(effects.rest.capacity() > 0, count > 2, "{count}");
        effects.push(effect.clone());
    }
    assert_eq!(effects.into_iter().collect::<Vec<_>>(), all);
    assert_eq!(CallEffects::default().into_iter().next(), None);
}
