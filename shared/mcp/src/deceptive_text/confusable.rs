//! Names that render alike.

/// Returns the skeleton of a name (UTS #39, section 4): two names with the same skeleton are confusable. It serves for
/// comparison only and is not shown.
pub fn skeleton(name: &str) -> String {
    unicode_security::skeleton(name).collect()
}
