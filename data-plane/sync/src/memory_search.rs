//! Search of the memory of this process for a secret of a test.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
};

use memchr::memchr_iter;

/// Value with which a key of a test is masked, so that the search for it does not find its own pattern.
pub(crate) const MASK: u8 = 0xa5;

/// Key of a test. Every byte differs from the ones beside it.
pub(crate) fn masked_key(first: u8) -> [u8; 32] {
    let mut next = first;
    std::array::from_fn(|_at| {
        next = next.wrapping_mul(181).wrapping_add(97);
        next ^ MASK
    })
}

pub(crate) fn unmasked(masked: &[u8; 32]) -> Vec<u8> {
    masked.iter().map(|byte| byte ^ MASK).collect()
}

/// Counts the copies of each key in the writable memory of this process. The stack of the calling thread is left out:
/// frames that have ended are overwritten by the next calls.
pub(crate) fn copies_in_memory<const N: usize>(keys: &[[u8; 32]; N]) -> io::Result<[usize; N]> {
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
