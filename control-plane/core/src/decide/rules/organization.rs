//! Rules of organizations.

use toolgate_model::{Organization, RateLimitLevel, Slug, Timestamp};

use super::KindRules;
use crate::{
    decide::field::rate_limit, key::ObjectKey, limits, rejection::Rejection, state::StoreState,
};

impl KindRules for Organization {
    const IS_REFERENCED: bool = true;

    fn check_fields(&self, _now: Timestamp) -> Result<(), Rejection> {
        rate_limit::check("spec", RateLimitLevel::Organization, &self.rate_limits)
    }

    fn count_limit() -> (&'static str, usize) {
        ("organizations", limits::ORGANIZATIONS)
    }

    /// Returns all objects of the organization, readable or not.
    fn dependents(state: &StoreState, org: &Slug) -> Vec<ObjectKey> {
        let unreadable = state.quarantine.keys();
        let unreadable = unreadable.filter_map(|text| text.parse::<ObjectKey>().ok());
        let owned = |key: &ObjectKey| {
            key.is_desired() && key.object().is_some_and(|object| object.org == Some(org))
        };
        state
            .owned_by(org)
            .chain(unreadable.filter(owned))
            .collect()
    }
}
