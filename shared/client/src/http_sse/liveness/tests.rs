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
fn a_server_that_ignores_the_ping_is_lost_before_calls_time_out() {
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
fn a_server_that_accepts_no_ping_is_not_declared_lost() {
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
fn an_event_or_the_end_of_waiting_resets_the_silence_timer() {
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
fn a_stream_without_waiting_calls_may_stay_silent() {
    let mut silence = LivenessProbe::default();
    for _ in 0..1000 {
        assert_eq!(silence.tick(0, false), LivenessVerdict::Healthy);
    }
}
