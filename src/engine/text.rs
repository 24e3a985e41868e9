//! Turns the bytes of tokens into text that can be sent.
//!
//! A character that is split over several tokens is held back until it is complete. Text that may
//! be the start of a stop string is held back until it is decided. All released text, joined, is
//! exactly the lossy UTF-8 decoding of the bytes up to the first stop string, so a character that
//! the end of the answer cuts is one U+FFFD (docs/PROTOCOL.md).

/// Assembles the text of one answer.
#[derive(Debug)]
pub(super) struct TextAssembler {
    /// The bytes of an incomplete character; at most 3 between calls.
    incomplete: Vec<u8>,
    /// Text that may be the start of a stop string.
    held: String,
    /// One matcher for each stop string.
    stops: Vec<StopMatcher>,
    /// Bytes of text that were released.
    n_released: usize,
}

/// The text that [`TextAssembler::push`] releases.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// Text to send; may be empty.
    Text(String),
    /// The last text to send: the stop string with this number followed it.
    Stopped(String, usize),
}

impl TextAssembler {
    /// An assembler for an answer that ends before any of the given stop strings.
    pub(super) fn new(stops: &[String]) -> Self {
        Self {
            incomplete: Vec::new(),
            held: String::new(),
            stops: stops.iter().map(|stop| StopMatcher::new(stop)).collect(),
            n_released: 0,
        }
    }

    /// Bytes of text that were released.
    pub(super) fn n_released(&self) -> usize {
        self.n_released
    }

    /// Bytes of the text so far, without an incomplete character.
    pub(super) fn n_bytes(&self) -> usize {
        self.n_released + self.held.len()
    }

    /// Whether text is held back that can still be cut off.
    pub(super) fn may_cut(&self) -> bool {
        let holds_text = !self.held.is_empty() || !self.incomplete.is_empty();
        holds_text && !self.stops.is_empty()
    }

    /// Adds the bytes of one token.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Released {
        let text = self.decode(bytes);
        let released = self.match_stops(text);
        let (Released::Text(text) | Released::Stopped(text, _)) = &released;
        self.n_released += text.len();
        released
    }

    /// Releases all text that is held back, with an incomplete character as U+FFFD. That
    /// character can complete a stop string, which is then cut off.
    pub(super) fn finish(&mut self) -> Released {
        let released = match self.incomplete.is_empty() {
            true => Released::Text(String::new()),
            false => {
                self.incomplete.clear();
                self.match_stops(char::REPLACEMENT_CHARACTER.to_string())
            }
        };
        let released = match released {
            Released::Text(text) => Released::Text(text + &std::mem::take(&mut self.held)),
            stopped @ Released::Stopped(..) => stopped,
        };
        let (Released::Text(text) | Released::Stopped(text, _)) = &released;
        self.n_released += text.len();
        released
    }

    /// Decodes the bytes that were held back and `bytes`, and holds back an incomplete character at
    /// their end.
    fn decode(&mut self, bytes: &[u8]) -> String {
        if self.incomplete.is_empty()
            && let Ok(complete) = std::str::from_utf8(bytes)
        {
            return complete.to_owned();
        }
        self.incomplete.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.incomplete.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = invalid;
                    let Some(n) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &invalid[n..];
                }
            }
        }
        self.incomplete = rest.to_vec();
        text
    }

    /// Adds decoded text and looks for stop strings in it.
    fn match_stops(&mut self, text: String) -> Released {
        if self.stops.is_empty() {
            return Released::Text(text);
        }
        for (i, &byte) in text.as_bytes().iter().enumerate() {
            // Of the stop strings that end at the same byte, the longest one starts first.
            let mut longest = (0, 0);
            for (number, stop) in self.stops.iter_mut().enumerate() {
                if stop.advance(byte) && stop.pattern.len() > longest.0 {
                    longest = (stop.pattern.len(), number);
                }
            }
            let (n_bytes, number) = longest;
            if n_bytes > 0 {
                self.held.push_str(&text[..=i]);
                self.held.truncate(self.held.len() - n_bytes);
                self.incomplete.clear();
                return Released::Stopped(std::mem::take(&mut self.held), number);
            }
        }
        self.held.push_str(&text);
        let undecided = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let held = self.held.split_off(self.held.len() - undecided);
        Released::Text(std::mem::replace(&mut self.held, held))
    }
}

/// Finds one stop string in a stream of bytes without backtracking: the Knuth-Morris-Pratt
/// automaton.
#[derive(Debug)]
struct StopMatcher {
    /// The bytes of the stop string.
    pattern: Vec<u8>,
    /// For each length of a partial match, the length of the next shorter one.
    shorter: Vec<usize>,
    /// Length of the longest start of the pattern that the stream ends with.
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

    /// Adds one byte; true if the stream now ends with the pattern. Not to be called after that.
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
