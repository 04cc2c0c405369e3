//! Tests of liveness detection: silence counts only while a request is pending, and ends the stream only if the server
//! accepted the ping.

use super::*;

/// Ticks until the verdict is not `Healthy`.
fn until(silence: &mut LivenessProbe, heard: u64) -> (u32, LivenessVerdict) {
    for tick in 1..=100 {
        let verdict = silence.tick(heard, true);
        if verdict != LivenessVerdict::Healthy {
            return (tick, verdict);
        }
    }
    (100, LivenessVerdict::Healthy)
}

#[test]
fn a_server_that_takes_the_question_and_says_nothing_is_lost_before_calls_give_up() {
    let mut silence = LivenessProbe::default();
    assert_eq!(
        until(&mut silence, 0),
        (PROBE_AFTER, LivenessVerdict::Probe)
    );
    silence.probe_sent(true);
    assert_eq!(until(&mut silence, 0), (DEAD_AFTER, LivenessVerdict::Dead));
    const { assert!(PROBE_AFTER + DEAD_AFTER < TICKS_PER_TIMEOUT) };
}

#[test]
fn a_server_that_takes_nothing_is_not_given_up_for_it() {
    let mut silence = LivenessProbe::default();
    assert_eq!(
        until(&mut silence, 0),
        (PROBE_AFTER, LivenessVerdict::Probe)
    );
    assert_eq!(until(&mut silence, 0), (100, LivenessVerdict::Healthy));
    // A rejected ping is sent again.
    silence.probe_sent(false);
    assert_eq!(until(&mut silence, 0), (1, LivenessVerdict::Probe));
}

#[test]
fn a_word_or_the_end_of_waiting_ends_the_suspicion() {
    for (heard, waiting) in [(1, true), (0, false)] {
        let mut silence = LivenessProbe::default();
        assert_eq!(
            until(&mut silence, 0),
            (PROBE_AFTER, LivenessVerdict::Probe)
        );
        silence.probe_sent(true);
        assert_eq!(silence.tick(0, true), LivenessVerdict::Healthy);
        assert_eq!(silence.tick(heard, waiting), LivenessVerdict::Healthy);
        // The result of an earlier ping is ignored now.
        silence.probe_sent(true);
        assert_eq!(
            until(&mut silence, heard),
            (PROBE_AFTER, LivenessVerdict::Probe)
        );
    }
}

#[test]
fn a_stream_on_which_nobody_waits_may_be_silent_for_ever() {
    let mut silence = LivenessProbe::default();
    for _ in 0..1000 {
        assert_eq!(silence.tick(0, false), LivenessVerdict::Healthy);
    }
}
