//! Tests of the decoder, compared with `sse-stream`.

use std::convert::Infallible;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use proptest::prelude::*;

use super::*;

fn frame(chunks: &[&[u8]]) -> Vec<SseEvent> {
    let mut framer = SseDecoder::new(SseLimits::default());
    let mut events = Vec::new();
    for chunk in chunks {
        framer.push(chunk).unwrap();
        events.extend(std::iter::from_fn(|| framer.next_event()));
    }
    events
}

fn judged(text: &[u8]) -> Vec<(Option<String>, String, Option<String>)> {
    let body = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(text))]);
    let stream = sse_stream::SseStream::from_bytes_stream(body);
    let events = stream.collect::<Vec<_>>().now_or_never().unwrap();
    let parts = |event: sse_stream::Sse| {
        let data = event.data.filter(|data| !data.is_empty())?;
        Some((event.event, data, event.id))
    };
    events
        .into_iter()
        .filter_map(|event| event.ok().and_then(parts))
        .collect()
}

#[test]
fn every_field_and_line_ending_is_read() {
    let text = b"\xef\xbb\xbfid: 7\r\nevent:message\rdata: a\ndata:  b\r\n: note\r\nretry: 250\n\r\n\ndata\n\ndata: cut";
    let events = frame(&[text]);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data, "a\n b");
    assert_eq!(
        (events[0].id.as_deref(), events[0].retry),
        (Some("7"), Some(250))
    );
    assert!(events[0].is_message());
}

#[test]
fn a_priming_event_without_data_is_delivered() {
    let events = frame(&[b"id: 1\nretry: 10\ndata:\n\nevent: ping\n\n"]);
    assert_eq!(events.len(), 1);
    assert!(!events[0].is_message());
}

#[test]
fn lines_and_events_are_bounded_and_errors_are_permanent() {
    let limits = SseLimits {
        line: 10,
        event: 12,
    };
    let mut framer = SseDecoder::new(limits);
    assert_eq!(framer.push(b"data: 1234\n\n"), Ok(()));
    assert_eq!(framer.push(b"data: 12345"), Err(SseError::Line(10)));
    assert_eq!(framer.push(b"\n"), Err(SseError::Line(10)));
    assert!(framer.next_event().is_some());
    let mut framer = SseDecoder::new(limits);
    assert_eq!(framer.push(b"data:12345\ndata:12345\n\n"), Ok(()));
    assert_eq!(
        framer.push(b"data:12345\ndata:12345\ndata:1\n"),
        Err(SseError::Event(12))
    );
    let mut framer = SseDecoder::new(limits);
    for _ in 0..10 {
        assert_eq!(framer.push(b"x"), Ok(()));
    }
    assert_eq!(framer.push(b"x"), Err(SseError::Line(10)));
    assert!(framer.buffered() <= 10);
}

fn stream_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("data: "),
        Just("data:"),
        Just("data"),
        Just("event: "),
        Just("id: "),
        Just("retry: 5"),
        Just(":"),
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just("\r\r"),
        Just("x"),
        Just(" "),
        Just("é"),
        Just("{}"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn chunk_boundaries_do_not_change_the_events(text in stream_text(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        places.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for place in places.into_iter().chain([text.len()]) {
            chunks.push(&text[from..place]);
            from = place;
        }
        prop_assert_eq!(frame(&chunks), frame(&[&text]));
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        prop_assert_eq!(frame(&bytes), frame(&[&text]));
    }

    #[test]
    fn written_events_are_read_back_by_this_and_another_parser(data in "[a-z\\n :]{1,20}", id in proptest::option::of("[a-z0-9]{1,4}")) {
        let mut out = BytesMut::new();
        write_event(&mut out, id.as_deref(), data.as_bytes());
        let events = frame(&[&out]);
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(&events[0].data[..], data.as_bytes());
        prop_assert_eq!(events[0].id.as_deref(), id.as_deref());
        prop_assert_eq!(judged(&out), vec![(None, data, id)]);
    }

    #[test]
    fn the_parser_agrees_with_another_parser(
        lines in proptest::collection::vec("(data|event|id|x): ?[a-z ]{0,5}", 1..8), blank in any::<u8>(),
    ) {
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            text.push_str(line);
            text.push_str(if (blank >> (index % 8)) & 1 == 1 { "\n\n" } else { "\n" });
        }
        text.push('\n');
        let parts = |event: SseEvent| {
            let data = String::from_utf8(event.data.to_vec()).unwrap();
            (!data.is_empty()).then_some((event.event, data, event.id))
        };
        let ours: Vec<_> = frame(&[text.as_bytes()]).into_iter().filter_map(parts).collect();
        let theirs: Vec<_> = judged(text.as_bytes()).into_iter()
            .map(|(event, data, id)| (event.filter(|e| !e.is_empty()), data, id)).collect();
        prop_assert_eq!(ours, theirs);
    }
}

/// Sends a hundred megabytes without a line break in chunks, and a million small events: no more is buffered than the
/// limits allow.
#[test]
fn ov_14_at_most_one_mebibyte_per_line_and_four_per_event_are_buffered() {
    let limits = SseLimits::default();
    assert_eq!((limits.line, limits.event), (1 << 20, 4 << 20));
    let piece = [b'x'; 64 * 1024];
    let mut framer = SseDecoder::new(limits);
    let refused = (0..1_600).find_map(|_| framer.push(&piece).err());
    assert_eq!(refused, Some(SseError::Line(limits.line)));
    assert!(framer.buffered() <= limits.line);
    let mut framer = SseDecoder::new(limits);
    let line = [b"data: ", &piece[..], b"\n"].concat();
    let refused = (0..1_600).find_map(|_| framer.push(&line).err());
    assert_eq!(refused, Some(SseError::Event(limits.event)));
    assert!(framer.buffered() <= limits.line + limits.event);
    let mut framer = SseDecoder::new(limits);
    let some = "id: 1\nretry: 1\nevent: x\n\n".repeat(1_000);
    for _ in 0..100 {
        framer.push(some.as_bytes()).unwrap();
        let told = std::iter::from_fn(|| framer.next_event()).count();
        assert_eq!((told, framer.buffered()), (1_000, 0));
    }
    for retry in ["-1", "1e9", "99999999999999999999999", " 1", "", "0x1"] {
        let events = frame(&[format!("retry:{retry}\ndata: a\n\n").as_bytes()]);
        assert_eq!(events.iter().filter(|event| event.data == "a").count(), 1);
    }
}

#[test]
fn long_lines_do_not_depend_on_chunk_boundaries() {
    let long = "0123456789abcdef".repeat(20_000);
    let text = format!(
        "\u{feff}data: {long}\ndata:{long}\ndata: x\n\nid: {long}\nevent: {long}\n: {long}\ndata: y\r\n\r\n"
    );
    for size in [1_000, 16 * 1024, 65_536, 100_001, text.len()] {
        let mut framer = SseDecoder::new(SseLimits::default());
        let mut events = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            framer.push(piece).unwrap();
            events.extend(std::iter::from_fn(|| framer.next_event()));
        }
        assert_eq!(events.len(), 2, "{size}");
        assert!(events[0].data == format!("{long}\n{long}\nx"), "{size}");
        assert_eq!(events[0].event, None);
        // An id that cannot be sent back is treated as empty.
        assert_eq!(
            (&*events[1].data, events[1].id.as_deref()),
            (&b"y"[..], Some(""))
        );
        assert_eq!(events[1].event.as_deref(), Some(&long[..1024]));
        assert_eq!(framer.buffered(), 0);
    }
}

#[test]
fn the_cost_counts_events_and_empty_lines_for_any_chunking() {
    let text = [
        "data: 1\nid: 1\n\n".repeat(16),
        ": comment\nevent: no data\n\n\n".repeat(8),
        "data: many\n".repeat(100),
    ]
    .concat();
    for size in [1, 7, text.len()] {
        let mut framer = SseDecoder::new(SseLimits::default());
        for piece in text.as_bytes().chunks(size) {
            framer.push(piece).unwrap();
        }
        // Sixteen events, plus other lines: an id and an end of event for each, and eight times four.
        assert_eq!(framer.read_cost(), 16 + (16 * 2 + 8 * 4) / LINES_PER_EVENT);
    }
}
