//! Tests that targets know what changed since an earlier form of them.

use super::*;

fn name(number: usize) -> ObjectName {
    let id = format!("server-{number}");
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn target(number: usize, path: &str) -> ProbeTarget {
    ProbeTarget {
        server: name(number),
        endpoints: format!("http://127.0.0.1:9/{path}").parse().unwrap(),
        credential: None,
        protocol: ConfiguredProtocol {
            era: toolgate_model::EraPolicy::Probe,
            version: None,
        },
        timeouts: CallTimeouts::default(),
    }
}

#[test]
fn the_changed_servers_do_not_depend_on_the_number_of_servers() {
    for count in [10, 1_000] {
        let mut targets = ProbeTargets::default();
        for number in 0..count {
            assert!(targets.set(&name(number), Some(target(number, "a"))));
        }
        let earlier = targets.clone();
        assert!(!targets.set(&name(3), Some(target(3, "a"))), "the same");
        assert!(targets.set(&name(4), Some(target(4, "b"))));
        assert!(targets.set(&name(5), None));
        assert!(!targets.set(&name(count), None), "never there");
        let changed: Vec<_> = targets.changed_since(&earlier).unwrap().collect();
        assert_eq!(changed, [&name(4), &name(5)]);
        assert_eq!((targets.len(), earlier.len()), (count - 1, count));
        assert!(earlier.changed_since(&targets).is_none());
    }
}
