//! Token bytes to text that is safe to send.
//!
//! A character split over several tokens is held until it is whole, and text that may be the
//! start of a stop string until that is decided. What is released, joined, is exactly the lossy
//! UTF-8 decoding of all bytes up to the first stop string.

/// Assembles the text of one answer.
#[derive(Debug)]
pub(super) struct TextAssembler {
    /// The beginning of a character whose end has not come; at most 3 bytes between calls.
    split: Vec<u8>,
    /// Text that may be the start of a stop string.
    held: String,
    stops: Vec<StopMatcher>,
}

/// What a push released.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// Text to send, possibly none yet.
    Text(String),
    /// The last text to send: a stop string followed it.
    Stopped(String),
}

impl TextAssembler {
    pub(super) fn new(stops: &[String]) -> Self {
        Self {
            split: Vec::new(),
            held: String::new(),
            stops: stops.iter().map(|stop| StopMatcher::new(stop)).collect(),
        }
    }

    /// Adds the bytes of one token.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Released {
        let fresh = self.decode(bytes);
        self.take(fresh)
    }

    /// Looks for stop strings in new text.
    fn take(&mut self, fresh: String) -> Released {
        if self.stops.is_empty() {
            return Released::Text(fresh);
        }
        for (i, &byte) in fresh.as_bytes().iter().enumerate() {
            let mut longest = 0;
            for stop in &mut self.stops {
                if stop.advance(byte) {
                    longest = longest.max(stop.pattern.len());
                }
            }
            if longest > 0 {
                self.held.push_str(&fresh[..=i]);
                self.held.truncate(self.held.len() - longest);
                self.split.clear();
                return Released::Stopped(std::mem::take(&mut self.held));
            }
        }
        self.held.push_str(&fresh);
        let undecided = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - undecided);
        Released::Text(std::mem::replace(&mut self.held, kept))
    }

    /// Releases what is still held. No character will be completed; a stop string may be, by the
    /// U+FFFD that stands for an unfinished one.
    pub(super) fn finish(&mut self) -> String {
        if self.split.is_empty() {
            return std::mem::take(&mut self.held);
        }
        self.split.clear();
        match self.take(char::REPLACEMENT_CHARACTER.to_string()) {
            Released::Text(text) => text + &std::mem::take(&mut self.held),
            Released::Stopped(text) => text,
        }
    }

    /// Decodes `split` and `bytes`, keeping an unfinished character back.
    fn decode(&mut self, bytes: &[u8]) -> String {
        if self.split.is_empty()
            && let Ok(whole) = std::str::from_utf8(bytes)
        {
            return whole.to_owned();
        }
        self.split.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.split.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, broken) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = broken;
                    let Some(n) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &broken[n..];
                }
            }
        }
        self.split = rest.to_vec();
        text
    }
}

/// Looks for one stop string in a stream of bytes, without ever looking back: the
/// Knuth-Morris-Pratt automaton.
#[derive(Debug)]
struct StopMatcher {
    pattern: Vec<u8>,
    /// For each length of a partial match, the length of the next shorter one.
    shorter: Vec<usize>,
    /// How much of the pattern the text ends with now.
    matched: usize,
}

impl StopMatcher {
    fn new(stop: &str) -> Self {
        let pattern = stop.as_bytes().to_vec();
        let mut shorter = vec![0; pattern.len() + 1];
        let mut k = 0;
        for i in 1..pattern.len() {
            while k > 0 && pattern[i] != pattern[k] {
                k = shorter[k];
            }
            if pattern[i] == pattern[k] {
                k += 1;
            }
            shorter[i + 1] = k;
        }
        Self { pattern, shorter, matched: 0 }
    }

    /// Takes one byte; true when the pattern is complete.
    fn advance(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.pattern[self.matched] != byte {
            self.matched = self.shorter[self.matched];
        }
        if self.pattern[self.matched] == byte {
            self.matched += 1;
        }
        self.matched == self.pattern.len()
    }
}

#[cfg(test)]
mod tests;
