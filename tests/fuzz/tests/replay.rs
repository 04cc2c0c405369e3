//! Replays every input of the corpus, and some random inputs.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use toolgate_fuzz::TARGETS;

#[test]
fn the_corpus_replays_without_a_failure() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 10, "{name}: only {inputs} inputs are kept");
    }
}

/// Not a search, but enough to notice a target that fails immediately.
#[test]
fn random_and_damaged_inputs_cause_no_failure() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let entries = fs::read_dir(&folder).unwrap();
        let seeds: Vec<_> = entries
            .map(|e| fs::read(e.unwrap().path()).unwrap())
            .collect();
        let damaged = (
            any::<prop::sample::Index>(),
            vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        );
        let mut runner = TestRunner::default();
        let ran = runner.run(
            &(vec(any::<u8>(), 0..200), damaged),
            |(noise, (seed, damage))| {
                target(&noise);
                let mut input = seeds[seed.index(seeds.len())].clone();
                for (at, byte) in damage {
                    if !input.is_empty() {
                        let at = at.index(input.len());
                        input[at] = byte;
                    }
                }
                target(&input);
                Ok(())
            },
        );
        ran.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
