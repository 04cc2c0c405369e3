//! Callers who mean harm, row by row of the catalogue of threats: each test is named by its row.

mod door;
mod isolation;
mod names;
mod sessions;
mod shares;
