//! Breaks a line as Python's `textwrap` does, for the filter `wordwrap`.

/// How lines are broken.
pub(super) struct WrapOptions {
    /// Longest line in characters, at least 1.
    pub(super) width: usize,
    /// Words that are longer than a line are broken.
    pub(super) breaks_words: bool,
    /// Compound words are broken after their hyphens.
    pub(super) breaks_at_hyphens: bool,
}

impl WrapOptions {
    /// The lines that one line is broken into.
    pub(super) fn wrap(&self, line: &str) -> Vec<String> {
        let mut pieces: Vec<Vec<char>> = self.pieces(line);
        pieces.reverse();
        let mut lines = Vec::new();
        while let Some(next) = pieces.last() {
            if is_blank(next) && !lines.is_empty() {
                pieces.pop();
            }
            let mut current: Vec<Vec<char>> = Vec::new();
            let mut n_chars = 0;
            while let Some(piece) = pieces.pop_if(|piece| n_chars + piece.len() <= self.width) {
                n_chars += piece.len();
                current.push(piece);
            }
            if pieces.last().is_some_and(|piece| piece.len() > self.width) {
                self.break_word(&mut pieces, &mut current, n_chars);
            }
            current.pop_if(|piece| is_blank(piece));
            if !current.is_empty() {
                lines.push(current.into_iter().flatten().collect());
            }
        }
        lines
    }

    /// Takes a part of the last piece, which is longer than a line.
    fn break_word(
        &self,
        pieces: &mut Vec<Vec<char>>,
        current: &mut Vec<Vec<char>>,
        n_chars: usize,
    ) {
        let Some(mut piece) = pieces.pop() else { return };
        if !self.breaks_words {
            if current.is_empty() {
                current.push(piece)
            } else {
                pieces.push(piece)
            }
            return;
        }
        let space = self.width - n_chars;
        let mut end = space;
        if self.breaks_at_hyphens
            && let Some(hyphen) = piece[..space].iter().rposition(|c| *c == '-')
            && piece[..hyphen].iter().any(|c| *c != '-')
        {
            end = hyphen + 1;
        }
        let rest = piece.split_off(end);
        current.push(piece);
        pieces.push(rest);
    }

    /// The words of a line, and the white space between them.
    fn pieces(&self, line: &str) -> Vec<Vec<char>> {
        let mut pieces: Vec<Vec<char>> = Vec::new();
        for c in line.chars() {
            match pieces.last_mut() {
                Some(piece) if is_wrap_space(piece[0]) == is_wrap_space(c) => piece.push(c),
                _ => pieces.push(vec![c]),
            }
        }
        if !self.breaks_at_hyphens {
            return pieces;
        }
        pieces.into_iter().flat_map(|piece| parts_of_compound(&piece)).collect()
    }
}

/// A word, divided after hyphens between letters and around dashes.
fn parts_of_compound(word: &[char]) -> Vec<Vec<char>> {
    let letter = |index: usize| word.get(index).is_some_and(|c| c.is_alphabetic() || *c == '_');
    let hyphen = |index: usize| word.get(index) == Some(&'-');
    let in_word = |c: char| c.is_alphanumeric() || "_!\"'&.,?".contains(c);
    let mut parts = Vec::new();
    let mut start = 0;
    let mut index = 1;
    while index < word.len() {
        if hyphen(index) && hyphen(index + 1) && in_word(word[index - 1]) {
            let n_dashes = word[index..].iter().take_while(|c| **c == '-').count();
            let follows = word.get(index + n_dashes);
            if follows.is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                if start < index {
                    parts.push(word[start..index].to_vec());
                }
                parts.push(word[index..index + n_dashes].to_vec());
                start = index + n_dashes;
                index = start + 1;
                continue;
            }
        }
        let follows_letters = letter(index - 1)
            && index >= 2
            && index > start + 1
            && (letter(index - 2) || index >= 3 && hyphen(index - 2) && letter(index - 3));
        let precedes_letters =
            letter(index + 1) && (letter(index + 2) || hyphen(index + 2) && letter(index + 3));
        if hyphen(index) && follows_letters && precedes_letters {
            parts.push(word[start..=index].to_vec());
            start = index + 1;
        }
        index += 1;
    }
    if start < word.len() {
        parts.push(word[start..].to_vec());
    }
    parts
}

fn is_blank(piece: &[char]) -> bool {
    piece.iter().all(|c| c.is_whitespace())
}

fn is_wrap_space(c: char) -> bool {
    matches!(c, '\t'..='\r' | ' ')
}
