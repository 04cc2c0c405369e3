//! Tests that floods are detected at any segmentation and that ordinary traffic passes.

use proptest::prelude::*;

use super::*;

const PREFACE_TEXT: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut frame = vec![0, high, low, kind, 0, 0, 0, 0, 1];
    frame.resize(FRAME_HEADER_BYTES + usize::from(length), 0xff);
    frame
}

#[test]
fn a_flood_of_control_frames_ends_the_connection() {
    for kind in [2, 4, 6, 7, 42] {
        let mut tally = FrameQuota::new();
        tally.observe(PREFACE_TEXT, Duration::ZERO).unwrap();
        let frame = frame(kind, 8);
        let came = (0..).take_while(|_| tally.observe(&frame, Duration::ZERO).is_ok());
        assert_eq!(came.count(), FRAME_BURST as usize, "type {kind}");
    }
}

#[test]
fn requests_and_bodies_do_not_count_as_a_flood() {
    let mut tally = FrameQuota::new();
    tally.observe(PREFACE_TEXT, Duration::ZERO).unwrap();
    for _request in 0..10 * FRAME_BURST {
        tally.observe(&frame(1, 60), Duration::ZERO).unwrap();
        tally.observe(&frame(0, 300), Duration::ZERO).unwrap();
        tally.observe(&frame(8, 4), Duration::ZERO).unwrap();
    }
}

#[test]
fn the_empty_frames_that_end_grpc_requests_are_no_flood_and_others_are() {
    let mut tally = FrameQuota::new();
    tally.observe(PREFACE_TEXT, Duration::ZERO).unwrap();
    let end = block(DATA, END_STREAM, 0);
    for _request in 0..10 * FRAME_BURST {
        for frame in [&block(HEADERS, END_HEADERS, 60), &frame(DATA, 300), &end] {
            tally.observe(frame, Duration::ZERO).unwrap();
        }
    }
    // Without a request that it ends.
    let came = (0..).take_while(|_| tally.observe(&end, Duration::ZERO).is_ok());
    assert_eq!(came.count(), FRAME_BURST as usize);
}

#[test]
fn the_frame_allowance_refills_over_time() {
    let mut tally = FrameQuota::new();
    tally.observe(PREFACE_TEXT, Duration::ZERO).unwrap();
    let ping = frame(6, 8);
    for second in 0..60 {
        for _ping in 0..FRAME_RATE {
            tally.observe(&ping, Duration::from_secs(second)).unwrap();
        }
    }
}

/// Returns a frame of a header block.
fn block(kind: u8, flags: u8, length: u16) -> Vec<u8> {
    let mut frame = frame(kind, length);
    frame[4] = flags;
    frame
}

#[test]
fn a_head_is_incomplete_until_its_last_byte() {
    let fragments = [block(HEADERS, 0, 20), block(CONTINUATION, 0, 0)].concat();
    let last = block(CONTINUATION, END_HEADERS, 7);
    let whole = block(HEADERS, END_HEADERS | 1, 30);
    let mut tally = FrameQuota::new();
    let mut observe = |bytes: &[u8]| {
        tally.observe(bytes, Duration::ZERO).unwrap();
        tally.is_head_incomplete()
    };
    assert!(observe(b""));
    assert!(observe(&PREFACE_TEXT[..10]));
    assert!(observe(&PREFACE_TEXT[10..]));
    assert!(observe(&frame(4, 12)), "settings alone are no request");
    for head in [[fragments, last].concat(), whole] {
        let (end, begin) = head.split_last().unwrap();
        for byte in begin {
            assert!(observe(&[*byte]));
        }
        assert!(!observe(&[*end]));
        assert!(!observe(&frame(0, 50)), "a body is not part of a head");
        assert!(!observe(&frame(8, 4)));
    }
}

proptest! {
    /// The result does not depend on the boundaries of network reads.
    #[test]
    fn chunk_boundaries_do_not_change_the_count(
        frames in proptest::collection::vec((0_u8..12, 0_u16..40), 0..60),
        cuts in proptest::collection::vec(1_usize..50, 1..200),
        allowed in 0_u32..40,
    ) {
        let mut bytes = PREFACE_TEXT.to_vec();
        for (kind, length) in &frames {
            bytes.extend(frame(*kind, *length));
        }
        let counted = |(kind, length): &(u8, u16)| match kind {
            0 => *length == 0,
            1 | 3 | 8 | 9 => false,
            _ => true,
        };
        let expected = frames.iter().filter(|frame| counted(frame)).count() <= allowed as usize;
        let mut tally = FrameQuota::new();
        tally.frames.tokens = allowed;
        let (mut rest, mut fine) = (&bytes[..], true);
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() || !fine {
                break;
            }
            let (now, later) = rest.split_at(cut.min(rest.len()));
            fine = tally.observe(now, Duration::ZERO).is_ok();
            rest = later;
        }
        prop_assert_eq!(fine, expected);
    }
}
