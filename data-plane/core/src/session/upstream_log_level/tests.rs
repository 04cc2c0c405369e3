//! Tests of the log level: a server is sent the lowest requested level, each level once. A server without `logging` is
//! sent nothing. A request for a higher level takes no messages from other callers.

use proptest::prelude::*;

use super::*;

const LOGGING: &str = r#"{"tools":{},"logging":{}}"#;

/// Applies a request and returns the level to send.
fn request(
    state: &mut UpstreamLogLevel,
    level: Option<LogLevel>,
    explicit: bool,
) -> Option<LogLevel> {
    change(state, level, explicit).map(|change| change.level)
}

fn change(
    state: &mut UpstreamLogLevel,
    level: Option<LogLevel>,
    explicit: bool,
) -> Option<LogLevelChange> {
    let (next, change) = state.request(level, explicit);
    *state = next;
    change
}

#[test]
fn the_level_is_sent_when_a_client_wants_more_and_never_twice() {
    let mut state = UpstreamLogLevel::new(LOGGING);
    assert_eq!(request(&mut state, None, false), None);
    let warning = Some(LogLevel::Warning);
    assert_eq!(request(&mut state, warning, true), warning);
    assert_eq!(request(&mut state, warning, true), None);
    assert_eq!(request(&mut state, Some(LogLevel::Error), true), None);
    let debug = Some(LogLevel::Debug);
    assert_eq!(request(&mut state, debug, true), debug);
    assert_eq!(request(&mut state, debug, true), None);
}

#[test]
fn no_level_is_sent_to_a_server_without_logging() {
    for capabilities in ["{}", r#"{"tools":{"logging":{}}}"#, ""] {
        let mut state = UpstreamLogLevel::new(capabilities);
        assert_eq!(request(&mut state, Some(LogLevel::Debug), true), None);
        assert_eq!(request(&mut state, Some(LogLevel::Info), false), None);
    }
}

#[test]
fn a_client_without_a_level_is_not_limited_by_a_stricter_client() {
    let (info, error) = (Some(LogLevel::Info), Some(LogLevel::Error));
    let mut state = UpstreamLogLevel::new(LOGGING);
    assert_eq!(request(&mut state, info, false), None, "left to the server");
    assert_eq!(request(&mut state, error, true), info);
    assert_eq!(request(&mut state, info, false), None);
    let mut state = UpstreamLogLevel::new(LOGGING);
    assert_eq!(request(&mut state, error, true), error);
    assert_eq!(request(&mut state, info, false), info, "ordinary again");
}

#[test]
fn a_failed_level_change_is_retried_unless_a_lower_level_was_set_meanwhile() {
    let mut state = UpstreamLogLevel::new(LOGGING);
    let (notice, debug) = (Some(LogLevel::Notice), Some(LogLevel::Debug));
    let failed = change(&mut state, notice, true).unwrap();
    state = state.revert(failed);
    let failed = change(&mut state, notice, true).unwrap();
    assert_eq!(request(&mut state, debug, true), debug);
    state = state.revert(failed);
    assert_eq!(request(&mut state, notice, true), None);
}

proptest! {
    #[test]
    fn the_server_ends_up_with_the_lowest_wanted_level(
        requests in prop::collection::vec((prop::option::of(0..8_usize), any::<bool>()), 0..40)
    ) {
        let mut state = UpstreamLogLevel::new(LOGGING);
        let mut last = None;
        let (mut lowest, mut any_explicit) = (None, false);
        for (index, explicit) in requests {
            // A caller that did not set a level receives messages from `info` upwards.
            let level = index.map(|index| if explicit { LogLevel::ALL[index] } else { LogLevel::Info });
            if let Some(level) = level {
                lowest = Some(lowest.map_or(level, |least: LogLevel| least.min(level)));
                any_explicit |= explicit;
            }
            if let Some(sent) = request(&mut state, level, explicit) {
                prop_assert!(last.is_none_or(|last| sent < last), "only ever lower");
                last = Some(sent);
            }
            prop_assert_eq!(last, lowest.filter(|_| any_explicit));
        }
    }
}
