//! The head of a WebSocket frame (RFC 6455, section 5.2), and its division into fragments.
//!
//! Checks nothing: what a frame may not be, tungstenite finds out.

/// The bytes of a head, or a part of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeadBytes {
    bytes: [u8; MAX_HEAD_BYTES],
    start: usize,
    end: usize,
}

impl HeadBytes {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Removes the first `n` bytes.
    pub(super) fn advance(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Adds a byte that was received. Returns the head once it is complete; no byte may be added
    /// after that.
    pub(super) fn add(&mut self, byte: u8) -> Option<FrameHead> {
        self.bytes[self.end] = byte;
        self.end += 1;
        if self.end < 2 {
            return None;
        }
        let [first, second] = [self.bytes[0], self.bytes[1]];
        let n_length_bytes = match second & LENGTH_BITS {
            LENGTH_IN_2_BYTES => 2,
            LENGTH_IN_8_BYTES => 8,
            _ => 0,
        };
        let is_masked = second & MASKED_BIT != 0;
        let mask_start = 2 + n_length_bytes;
        let end = mask_start + if is_masked { MASK_BYTES } else { 0 };
        if self.end < end {
            return None;
        }
        let rest = match n_length_bytes {
            0 => u64::from(second & LENGTH_BITS),
            _ => self.bytes[2..mask_start]
                .iter()
                .fold(0, |length, &byte| length << 8 | u64::from(byte)),
        };
        let mut mask = [0; MASK_BYTES];
        mask[..end - mask_start].copy_from_slice(&self.bytes[mask_start..end]);
        Some(FrameHead { first, mask: is_masked.then_some(mask), rest })
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

/// A frame, of which a part may have been passed on already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// The first byte: the final bit, three reserved bits and the opcode.
    first: u8,
    mask: Option<[u8; MASK_BYTES]>,
    /// Bytes of the content that are not part of a fragment yet.
    pub(super) rest: u64,
}

impl FrameHead {
    /// Whether this is a ping, a pong or a close frame.
    pub(super) fn is_control(&self) -> bool {
        self.first & CONTROL_BIT != 0
    }

    /// Whether this is the last frame of its message.
    pub(super) fn is_final(&self) -> bool {
        self.first & FINAL_BIT != 0
    }

    /// Takes the next `length` bytes of the content as a fragment, of which it returns the head.
    pub(super) fn take_piece(&mut self, length: usize) -> HeadBytes {
        self.rest = self.rest.saturating_sub(length as u64);
        let is_last = self.rest == 0;
        let first = if is_last { self.first } else { self.first & !FINAL_BIT };
        if !is_last {
            // What follows continues the message, whose reserved bits were in the first fragment.
            self.first = self.first & FINAL_BIT | CONTINUATION;
        }
        let masked = if self.mask.is_some() { MASKED_BIT } else { 0 };
        let mut head = HeadBytes::default();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length), _) if length < LENGTH_IN_2_BYTES => {
                head.extend(&[first, masked | length]);
            }
            (_, Ok(length)) => {
                head.extend(&[first, masked | LENGTH_IN_2_BYTES]);
                head.extend(&length.to_be_bytes());
            }
            _ => {
                head.extend(&[first, masked | LENGTH_IN_8_BYTES]);
                head.extend(&(length as u64).to_be_bytes());
            }
        }
        if let Some(mask) = self.mask {
            head.extend(&mask);
        }
        head
    }
}

/// Longest head: two bytes, a length in eight, and the mask.
const MAX_HEAD_BYTES: usize = 14;

const MASK_BYTES: usize = 4;

/// In the first byte.
const FINAL_BIT: u8 = 0x80;
const CONTROL_BIT: u8 = 0x08;
const CONTINUATION: u8 = 0;

/// In the second byte.
const MASKED_BIT: u8 = 0x80;
const LENGTH_BITS: u8 = 0x7f;
const LENGTH_IN_2_BYTES: u8 = 126;
const LENGTH_IN_8_BYTES: u8 = 127;
