//! Tests of liveness detection: silence counts only while a request is pending, and ends the stream only if the server
//! accepted the ping.

use super::*;

/// Ticks until the verdict is not `Healthy`.
fn until(silence: &mut Silence, heard: u64) -> (u32, Verdict) {
    for tick in 1..=100 {
        let verdict = silence.tick(heard, true);
        if verdict != Verdict::Fine {
            return (tick, verdict);
        }
    }
    (100, Verdict::Fine)
}

#[test]
fn a_server_that_takes_the_question_and_says_nothing_is_lost_before_calls_give_up() {
    let mut silence = Silence::default();
    assert_eq!(until(&mut silence, 0), (SUSPICIOUS, Verdict::Ask));
    silence.told(true);
    assert_eq!(until(&mut silence, 0), (PATIENCE, Verdict::Lost));
    const { assert!(SUSPICIOUS + PATIENCE < TICKS) };
}

#[test]
fn a_server_that_takes_nothing_is_not_given_up_for_it() {
    let mut silence = Silence::default();
    assert_eq!(until(&mut silence, 0), (SUSPICIOUS, Verdict::Ask));
    assert_eq!(until(&mut silence, 0), (100, Verdict::Fine));
    // A rejected ping is sent again.
    silence.told(false);
    assert_eq!(until(&mut silence, 0), (1, Verdict::Ask));
}

#[test]
fn a_word_or_the_end_of_waiting_ends_the_suspicion() {
    for (heard, waiting) in [(1, true), (0, false)] {
        let mut silence = Silence::default();
        assert_eq!(until(&mut silence, 0), (SUSPICIOUS, Verdict::Ask));
        silence.told(true);
        assert_eq!(silence.tick(0, true), Verdict::Fine);
        assert_eq!(silence.tick(heard, waiting), Verdict::Fine);
        // The result of an earlier ping is ignored now.
        silence.told(true);
        assert_eq!(until(&mut silence, heard), (SUSPICIOUS, Verdict::Ask));
    }
}

#[test]
fn a_stream_on_which_nobody_waits_may_be_silent_for_ever() {
    let mut silence = Silence::default();
    for _ in 0..1000 {
        assert_eq!(silence.tick(0, false), Verdict::Fine);
    }
}
