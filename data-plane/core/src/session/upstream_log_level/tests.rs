//! Tests of the log level: a server is sent the lowest requested level, each level once. A server without `logging` is
//! sent nothing. A request for a higher level takes no messages from other callers.

use proptest::prelude::*;

use super::*;

const LOGGING: &str = r#"{"tools":{},"logging":{}}"#;

fn told(levels: &UpstreamLogLevel, level: Option<LogLevel>, asked: bool) -> Option<LogLevel> {
    levels.request(level, asked).map(|lowering| lowering.level)
}

#[test]
fn the_level_is_sent_when_a_client_wants_more_and_never_twice() {
    let levels = UpstreamLogLevel::new(LOGGING);
    assert_eq!(told(&levels, None, false), None);
    let warning = Some(LogLevel::Warning);
    assert_eq!(told(&levels, warning, true), warning);
    assert_eq!(told(&levels, warning, true), None);
    assert_eq!(told(&levels, Some(LogLevel::Error), true), None);
    let debug = Some(LogLevel::Debug);
    assert_eq!(told(&levels, debug, true), debug);
    assert_eq!(told(&levels, debug, true), None);
}

#[test]
fn no_level_is_sent_to_a_server_without_logging() {
    for capabilities in ["{}", r#"{"tools":{"logging":{}}}"#, ""] {
        let levels = UpstreamLogLevel::new(capabilities);
        assert_eq!(told(&levels, Some(LogLevel::Debug), true), None);
        assert_eq!(told(&levels, Some(LogLevel::Info), false), None);
    }
}

#[test]
fn a_client_without_a_level_is_not_limited_by_a_stricter_client() {
    let (info, error) = (Some(LogLevel::Info), Some(LogLevel::Error));
    let levels = UpstreamLogLevel::new(LOGGING);
    assert_eq!(told(&levels, info, false), None, "left to the server");
    assert_eq!(told(&levels, error, true), info);
    assert_eq!(told(&levels, info, false), None);
    let levels = UpstreamLogLevel::new(LOGGING);
    assert_eq!(told(&levels, error, true), error);
    assert_eq!(told(&levels, info, false), info, "ordinary again");
}

#[test]
fn a_failed_level_change_is_retried_unless_a_lower_level_was_set_meanwhile() {
    let levels = UpstreamLogLevel::new(LOGGING);
    let (notice, debug) = (Some(LogLevel::Notice), Some(LogLevel::Debug));
    let failed = levels.request(notice, true).unwrap();
    levels.revert(failed);
    let failed = levels.request(notice, true).unwrap();
    assert_eq!(told(&levels, debug, true), debug);
    levels.revert(failed);
    assert_eq!(told(&levels, notice, true), None);
}

proptest! {
    #[test]
    fn the_server_ends_up_with_the_lowest_wanted_level(
        wishes in prop::collection::vec((prop::option::of(0..8_usize), any::<bool>()), 0..40)
    ) {
        let levels = UpstreamLogLevel::new(LOGGING);
        let mut last = None;
        let (mut lowest, mut anybody) = (None, false);
        for (index, asked) in wishes {
            // A caller that did not set a level receives messages from `info` upwards.
            let level = index.map(|index| if asked { LogLevel::ALL[index] } else { LogLevel::Info });
            if let Some(level) = level {
                lowest = Some(lowest.map_or(level, |least: LogLevel| least.min(level)));
                anybody |= asked;
            }
            if let Some(lowering) = levels.request(level, asked) {
                prop_assert!(last.is_none_or(|last| lowering.level < last), "only ever lower");
                last = Some(lowering.level);
            }
            prop_assert_eq!(last, lowest.filter(|_| anybody));
        }
    }
}
