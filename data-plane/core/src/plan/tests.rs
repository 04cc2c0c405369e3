//! Tests of request planning in both eras.

mod legacy;
mod modern;
mod progressive;
mod rest;
mod retries;
mod shaped;
mod subscriptions;
