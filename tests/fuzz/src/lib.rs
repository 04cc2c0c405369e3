//! Fuzz targets for untrusted input. Each target is a function that returns if its property holds and panics if not.
//! `make fuzz` searches with libFuzzer on stable Rust; `tests/replay.rs` runs every input of `corpus/` on each test
//! run.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a target fails by panicking"
)]

pub mod targets {
    //! Parsers under test.
    pub mod answer;
    pub mod batch;
    pub mod client_state;
    pub mod cursor;
    pub mod envelope;
    pub mod header;
    pub mod nested;
    pub mod sse;
}

/// Fuzz target.
pub type FuzzTarget = fn(&[u8]);

/// All targets, with the folder of their corpus.
pub const TARGETS: [(&str, FuzzTarget); 8] = [
    ("envelope", targets::envelope::run),
    ("sse", targets::sse::run),
    ("header", targets::header::run),
    ("client_state", targets::client_state::run),
    ("cursor", targets::cursor::run),
    ("batch", targets::batch::run),
    ("nested", targets::nested::run),
    ("answer", targets::answer::run),
];
