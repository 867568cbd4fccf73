//! Reads along with the HTTP parser and refuses heads that two readers could read differently: both a length and chunks, two
//! lengths, a line that ends in a bare LF, a bare CR, a folded line, a blank before a colon.
//!
//! The parser behind it is lenient where the protocol lets it be. A proxy in front may be lenient otherwise, and what one of
//! them takes for the end of a request the other takes for the beginning of one. A refused head is replaced, before its end
//! was seen, by bytes that every parser refuses; so the answer is the parser's own 400 and the connection ends. Requests with
//! chunks are not followed: the answer to one closes its connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A header name that no parser takes, and the end of the head.
const REFUSAL: &[u8] = b"\r\n\0:\r\n\r\n";

/// As much of a line is remembered as it takes to know a length.
const MAX_REMEMBERED: usize = 64;

/// A stream whose incoming heads are unambiguous.
pub(super) struct HeadGuard<S> {
    stream: S,
    reading: Reading,
}

/// What the next byte belongs to.
enum Reading {
    /// A head.
    Head(Head),
    /// A body, with so many bytes still to come.
    Body(u64),
    /// A body whose end only its chunks tell. Nothing is read after it.
    Chunks,
    /// A head that was refused: what of the refusal the parser has not been given yet.
    Refused(&'static [u8]),
}

/// A head so far.
#[derive(Default)]
struct Head {
    line: Vec<u8>,
    lines: usize,
    is_after_cr: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// The head is ambiguous.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous;

impl<S> HeadGuard<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, reading: Reading::Head(Head::default()) }
    }
}

impl Reading {
    /// Follows the bytes. Returns how many of them may be passed on; fewer than all when a head was refused.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::Chunks | Self::Refused(_) => return bytes.len(),
                Self::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    *left -= taken as u64;
                    at += taken;
                    if *left == 0 {
                        *self = Self::Head(Head::default());
                    }
                }
                Self::Head(head) => match head.take(bytes[at]) {
                    Ok(None) => at += 1,
                    Ok(Some(next)) => {
                        *self = next;
                        at += 1;
                    }
                    Err(Ambiguous) => {
                        *self = Self::Refused(REFUSAL);
                        return at;
                    }
                },
            }
        }
        at
    }
}

impl Head {
    /// Takes a byte. Returns what follows when the head has ended.
    fn take(&mut self, byte: u8) -> Result<Option<Reading>, Ambiguous> {
        match (byte, self.is_after_cr) {
            (b'\n', true) => {
                self.is_after_cr = false;
                self.end_line()
            }
            (b'\n', false) | (_, true) => Err(Ambiguous),
            (b'\r', false) => {
                self.is_after_cr = true;
                Ok(None)
            }
            (byte, false) => {
                if self.line.len() < MAX_REMEMBERED {
                    self.line.push(byte);
                }
                Ok(None)
            }
        }
    }

    fn end_line(&mut self) -> Result<Option<Reading>, Ambiguous> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            // Empty lines before a request line are allowed.
            return Ok((self.lines > 0).then(|| self.next()));
        }
        self.lines += 1;
        if self.lines > 1 {
            self.header(&line)?;
        }
        Ok(None)
    }

    const fn next(&self) -> Reading {
        match (self.is_chunked, self.length) {
            (true, _) => Reading::Chunks,
            (false, Some(length)) if length > 0 => Reading::Body(length),
            (false, Some(_) | None) => {
                Reading::Head(Head { line: Vec::new(), lines: 0, is_after_cr: false, length: None, is_chunked: false })
            }
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        if line[0] == b' ' || line[0] == b'\t' {
            return Err(Ambiguous);
        }
        let name_end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(name_end);
        if name.last().is_some_and(u8::is_ascii_whitespace) {
            return Err(Ambiguous);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.get(1..).unwrap_or_default().trim_ascii();
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let length =
                std::str::from_utf8(digits).ok().filter(|_| is_number).and_then(|text| text.parse().ok()).ok_or(Ambiguous)?;
            if self.length.replace(length).is_some() {
                return Err(Ambiguous);
            }
        }
        self.is_chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
        if self.is_chunked && self.length.is_some() { Err(Ambiguous) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadGuard<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !matches!(this.reading, Reading::Refused(_)) {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let passed = this.reading.follow(&buffer.filled()[before..]);
            buffer.set_filled(before + passed);
        }
        if let Reading::Refused(left) = &mut this.reading {
            let given = left.len().min(buffer.remaining());
            buffer.put_slice(&left[..given]);
            *left = &left[given..];
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser is given, whatever the pieces in which it came.
    fn passed(bytes: &[u8], piece: usize) -> (usize, bool) {
        let mut reading = Reading::Head(Head::default());
        let mut total = 0;
        for piece in bytes.chunks(piece) {
            total += reading.follow(piece);
            if matches!(reading, Reading::Refused(_)) {
                return (total, true);
            }
        }
        (total, false)
    }

    #[test]
    fn plain_requests_pass_whole_in_pieces_of_any_size() {
        let requests = b"\r\nPOST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\na\nb\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n\
                         POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n";
        for piece in 1..=requests.len() {
            assert_eq!(passed(requests, piece), (requests.len(), false), "{piece}");
        }
    }

    #[test]
    fn ambiguous_heads_are_refused_before_their_end() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 4\r\n\r\n",
            "GET / HTTP/1.1\nHost: h\n\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            // After a body, the next head is looked at again.
            "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\n\n",
        ] {
            for piece in [1, 7, head.len()] {
                let (passed, is_refused) = passed(head.as_bytes(), piece);
                assert!(is_refused && passed < head.len(), "{head:?} in pieces of {piece}");
            }
        }
    }
}
