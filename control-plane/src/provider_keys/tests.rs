//! Tests of the reading of OpenID configurations.

use toolgate_runtime::clock;

use super::*;

#[test]
fn oa_09_a_configuration_of_another_issuer_names_no_keys() {
    let issuer = "https://login.example.com/acme";
    let document =
        |issuer: &str, url: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{url}"}}"#);
    let url = |text: &str| key_set_url(text.as_bytes(), issuer);
    let keys = "https://keys.example.com/set";
    assert_eq!(url(&document(issuer, keys)), Ok(keys.to_owned()));
    for bad in [
        document("https://login.example.com/acme/", keys),
        document("https://login.example.com/evil", keys),
        document(issuer, "http://keys.example.com/set"),
        format!(r#"{{"issuer":"{issuer}"}}"#),
        format!(r#"{{"jwks_uri":"{keys}"}}"#),
        "<html>".to_owned(),
    ] {
        assert!(url(&bad).is_err(), "{bad}");
    }
}

fn target(org: &str, id: usize) -> FetchTarget {
    let id = format!("idp-{id}").parse().unwrap();
    FetchTarget {
        name: ObjectName::new(org.parse().unwrap(), id),
        uid: Uid::of(&"one"),
        issuer: "https://login.example.com".to_owned(),
        url: None,
    }
}

#[test]
fn providers_that_do_not_answer_delay_those_of_their_own_organization_only() {
    let mut schedule = FetchSchedule::default();
    let start = clock::system().monotonic();
    let at = |seconds| start + Duration::from_secs(seconds);
    let hostile: Vec<_> = (0..500).map(|id| target("evil", id)).collect();
    let good = target("good", 0);
    let all = || hostile.iter().cloned().chain([good.clone()]);
    let begun = schedule.begin(all(), at(0));
    let of = |org: &str, begun: &[FetchTarget]| {
        let of = begun.iter().filter(|it| it.name.org.as_str() == org);
        of.count()
    };
    assert_eq!((of("evil", &begun), of("good", &begun)), (2, 1));
    schedule.end(&good);
    assert_eq!(schedule.begin(all(), at(29)), []);
    assert_eq!(schedule.begin(all(), at(30)), std::slice::from_ref(&good));
    // A place that becomes free is given to a provider that has waited longer.
    schedule.end(&hostile[0]);
    let next = schedule.begin(all(), at(31));
    assert_eq!(next.len(), 1);
    assert!(next[0] != hostile[0]);
}

#[test]
fn all_organizations_together_have_a_bound_and_a_new_source_is_asked_at_once() {
    let mut schedule = FetchSchedule::default();
    let now = clock::system().monotonic();
    let many: Vec<_> = (0..100)
        .map(|org| target(&format!("org-{org}"), 0))
        .collect();
    let begun = schedule.begin(many.iter().cloned(), now);
    assert_eq!(begun.len(), CONCURRENCY.0);
    for target in &begun {
        schedule.end(target);
    }
    let changed = FetchTarget {
        url: Some("https://keys.example.com/set".to_owned()),
        ..begun[0].clone()
    };
    let again = schedule.begin([changed.clone()].into_iter(), now);
    assert_eq!(again, [changed]);
    // Attempts at targets that are gone are forgotten.
    assert_eq!(schedule.attempts.len(), 1);
}
