//! Keys are in memory only in the form in which they are used.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
};

use memchr::memchr_iter;
use toolgate_proto::credential::v1 as pb;

use super::*;
use crate::disk::SealedDirectory;

/// Value with which a key of a test is masked, so that the search for it does not find its own pattern.
const MASK: u8 = 0xa5;

/// Key of a test. Every byte differs from the ones beside it.
fn masked_key(first: u8) -> [u8; 32] {
    let mut next = first;
    std::array::from_fn(|_at| {
        next = next.wrapping_mul(181).wrapping_add(97);
        next ^ MASK
    })
}

fn unmasked(masked: &[u8; 32]) -> Vec<u8> {
    masked.iter().map(|byte| byte ^ MASK).collect()
}

/// Counts the copies of each key in the writable memory of this process. The stack of the calling thread is left out:
/// frames that have ended are overwritten by the next calls.
fn copies_in_memory<const N: usize>(keys: &[[u8; 32]; N]) -> io::Result<[usize; N]> {
    const KEY: usize = 32;
    let mut window = [0_u8; 64 * 1024];
    let here = window.as_ptr().addr();
    let mut memory = File::open("/proc/self/mem")?;
    let mut copies = [0; N];
    for line in BufReader::new(File::open("/proc/self/maps")?).lines() {
        let line = line?;
        let mut columns = line.split_ascii_whitespace();
        let (Some(range), Some(mode)) = (columns.next(), columns.next()) else {
            continue;
        };
        let bounds = range.split_once('-').and_then(|(from, to)| {
            let hex = |text| usize::from_str_radix(text, 16).ok();
            Some(hex(from)?..hex(to)?)
        });
        let Some(bounds) = bounds.filter(|it| mode.starts_with("rw") && !it.contains(&here)) else {
            continue;
        };
        let mut at = bounds.start;
        while at < bounds.end {
            let length = window.len().min(bounds.end - at);
            memory.seek(SeekFrom::Start(u64::try_from(at).unwrap()))?;
            // The stack of a thread that has ended meanwhile cannot be read.
            if memory.read_exact(&mut window[..length]).is_err() {
                break;
            }
            for (key, copies) in keys.iter().zip(&mut copies) {
                let begins = memchr_iter(key[0] ^ MASK, &window[..length]);
                let found = begins.filter_map(|begin| window[..length].get(begin..begin + KEY));
                *copies += found
                    .filter(|it| it.iter().zip(key).all(|(byte, mask)| byte ^ MASK == *mask))
                    .count();
            }
            // Windows overlap, so that a key across two of them is found.
            at += if length < window.len() {
                length
            } else {
                length - KEY + 1
            };
        }
    }
    Ok(copies)
}

#[test]
fn keys_in_use_and_their_file_leave_no_copy_of_the_keyring_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(SealedDirectory::open(folder.path()).unwrap());
    let keys: [[u8; 32]; 8] = std::array::from_fn(|at| masked_key(u8::try_from(at).unwrap()));
    let seal_key = |(epoch, key): (u32, &[u8; 32])| pb::SealKey {
        epoch,
        key: unmasked(key),
    };
    let answer = pb::Keyring {
        token_key: unmasked(&keys[0]),
        seal_keys: (1..).zip(&keys[1..]).map(seal_key).collect(),
        unchanged: false,
    };
    let copies = || copies_in_memory(&keys).unwrap();
    assert_eq!(copies(), [1; 8], "the search finds a key");
    let keyring = ProxyKeyring::from_proto(&answer).unwrap();
    let shared = SharedKeys::new(&keyring).unwrap();
    let bytes = Zeroizing::new(answer.encode_to_vec());
    disk.save(FILE, &bytes).unwrap();
    drop((answer, keyring, bytes));
    let loaded = load(&disk).unwrap();
    assert_eq!(shared.digest, loaded.digest);
    assert_eq!(shared.hasher.hash("token"), loaded.hasher.hash("token"));
    assert_eq!(copies(), [0; 8]);
}
