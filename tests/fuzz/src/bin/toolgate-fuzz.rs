//! Fuzzes one target with libFuzzer: `TOOLGATE_FUZZ_TARGET=envelope`. It must be built with `--cfg fuzzing` and
//! coverage, as `make fuzz` does; otherwise it only prints that.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use std::sync::LazyLock;
    static TARGET: LazyLock<toolgate_fuzz::Target> = LazyLock::new(|| {
        let wanted = std::env::var("TOOLGATE_FUZZ_TARGET").unwrap_or_default();
        let known = toolgate_fuzz::TARGETS.iter();
        let found = known.copied().find(|(name, _)| *name == wanted);
        match found {
            Some((_, target)) => target,
            None => std::process::exit(2),
        }
    });
    TARGET(bytes);
});

#[cfg(not(fuzzing))]
fn main() {
    std::process::exit(2);
}
