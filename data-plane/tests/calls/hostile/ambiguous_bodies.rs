//! Requests whose end two HTTP parsers find at different places. One parser reads the rest as body, the other one as a second
//! request. They are sent to a proxy here, and through balancers in the scenarios of the whole product.

/// Fields that a parser may read as a chunked body, and another one not.
const CODINGS: [&str; 26] = [
    "Transfer-Encoding: chunked",
    "transfer-encoding: CHUNKED",
    "Transfer-Encoding:chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: chunked\t",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding\0: chunked",
    "Transfer-Encoding: chunked\0",
];

/// Lengths of a body that a parser may read as zero; `N` is the length of all that follows.
const LENGTHS: [&str; 16] = [
    "Content-Length: 0\r\nContent-Length: N",
    "Content-Length: N\r\nContent-Length: 0",
    "Content-Length: 0, N",
    "Content-Length: N, 0",
    "Content-Length: +N",
    "Content-Length: -N",
    "Content-Length: 0xN",
    "Content-Length: 0 N",
    "Content-Length: N.0",
    "Content-Length: Ne0",
    "Content-Length : N",
    "Content-Length\r\n: N",
    "Content-Length: 0\r\n N",
    "Content-Length: \u{b}N",
    "Content-Length: 99999999999999999999N",
    "Content_Length: N\r\nContent-Length: -0",
];

/// Chunks that a parser may read as the last one, each before a second request.
const CHUNKS: [&str; 12] = [
    "0x0\r\n\r\n",
    "+0\r\n\r\n",
    "-0\r\n\r\n",
    " 0\r\n\r\n",
    "0 \u{b}\r\n\r\n",
    "0\n\n",
    "0\r\r",
    "0;a=\n\r\n",
    "10000000000000000\r\n\r\n",
    "\r\n\r\n",
    "2\r\n{}0\r\n\r\n",
    "0\r\nX: y\n\r\n\n",
];

/// Fields that delimit the body of a request, and all that follows its head.
pub struct AmbiguousBody {
    pub fields: String,
    pub rest: String,
}

/// Returns the fields and bodies of all these requests. `make` returns the body of the first call and the hidden request, of
/// the payload with this number.
pub fn ambiguous_bodies(make: impl Fn(usize) -> (String, String)) -> Vec<AmbiguousBody> {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let mut all = Vec::new();
    for coding in CODINGS {
        for length_first in [true, false] {
            let fields = |length: usize| match length_first {
                true => format!("Content-Length: {length}\r\n{coding}"),
                false => format!("{coding}\r\nContent-Length: {length}"),
            };
            // One parser reads chunks and finds the second request behind them, the other reads all of it as the body.
            let (first, hidden) = make(all.len());
            let rest = format!("{}0\r\n\r\n{hidden}", chunk(&first));
            all.push(AmbiguousBody {
                fields: fields(rest.len()),
                rest,
            });
            // And the reverse: the second request is a chunk, and a body of the given length ends before it.
            let (_, hidden) = make(all.len());
            let size = format!("{:x}\r\n", hidden.len()).len();
            all.push(AmbiguousBody {
                fields: fields(size),
                rest: format!("{}0\r\n\r\n", chunk(&hidden)),
            });
        }
    }
    for length in LENGTHS {
        let (_, rest) = make(all.len());
        all.push(AmbiguousBody {
            fields: length.replace('N', &rest.len().to_string()),
            rest,
        });
    }
    for last in CHUNKS {
        let (first, hidden) = make(all.len());
        all.push(AmbiguousBody {
            fields: "Transfer-Encoding: chunked".to_owned(),
            rest: format!("{}{last}{hidden}", chunk(&first)),
        });
    }
    all
}
