//! Texts that are chosen to be slow to tokenize, or to be tokenized in another way than by
//! llama.cpp.

use super::*;

/// A text of about `n_bytes`, and what it consists of.
pub(in crate::llama::text) struct Hostile {
    pub(in crate::llama::text) name: String,
    pub(in crate::llama::text) text: String,
}

impl Hostile {
    /// `part` again and again.
    fn repeat(part: &str, n_bytes: usize) -> Self {
        let name = format!("{:?}", part.chars().take(40).collect::<String>());
        Self { name, text: part.repeat(n_bytes.div_ceil(part.len().max(1))) }
    }
}

/// One character of each class that tokenizers tell apart.
pub(super) const CHARACTERS: [char; 24] = [
    ' ', '\n', '\t', '\r', '\0', '\u{1}', 'a', 'E', '0', '.', '<', '\'', '"', 'é', '\u{301}', '日',
    'ト', '한', '🦊', '\u{FDD0}', '\u{2581}', '\u{a0}', '\u{200d}', 'ß',
];

/// All texts for a vocabulary.
#[cfg(feature = "fuzzing")]
pub(in crate::llama::text) fn hostile_texts(
    model: &LlamaModel,
    vocabulary: &LlamaVocabulary,
    n_bytes: usize,
) -> Vec<Hostile> {
    let mut texts = of_characters(n_bytes);
    texts.extend(of_tokens(model, vocabulary, n_bytes));
    texts
}

/// Texts of runs and alternations of single characters.
pub(super) fn of_characters(n_bytes: usize) -> Vec<Hostile> {
    let mut texts = Vec::new();
    for a in CHARACTERS {
        texts.push(Hostile::repeat(&a.to_string(), n_bytes));
        for b in CHARACTERS {
            if a < b {
                texts.push(Hostile::repeat(&format!("{a}{b}"), n_bytes));
            }
            if a != b {
                let run = a.to_string().repeat(63);
                texts.push(Hostile::repeat(&format!("{run}{b}"), n_bytes));
            }
        }
    }
    texts
}

/// Texts of the tokens of a vocabulary, whole and cut by a character.
pub(super) fn of_tokens(
    model: &LlamaModel,
    vocabulary: &LlamaVocabulary,
    n_bytes: usize,
) -> Vec<Hostile> {
    let n_tokens = Token::try_from(vocabulary.n_tokens());
    let ids = 0..n_tokens.expect("llama.cpp counts tokens in 32 bits");
    let vocab = model.vocab();
    let raw = |id: Token| Some(vocab.text(LlamaToken(id))?.to_str().ok()?.to_owned());
    let piece = |id: Token| String::from_utf8(vocabulary.piece(id).bytes.to_vec()).ok();
    let mut by_length: Vec<String> = ids.clone().filter_map(piece).collect();
    by_length.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let longest: Vec<String> = by_length.into_iter().take(24).collect();
    let is_special = |&id: &Token| {
        use LlamaTokenAttr::{Control, Unknown, UserDefined};
        vocab.attr(LlamaToken(id)).intersects(Control | Unknown | UserDefined)
    };
    let specials: Vec<String> = ids.clone().filter(is_special).filter_map(raw).collect();
    let some = specials.iter().step_by(specials.len() / 24 + 1).cloned();
    let mut texts = Vec::new();
    for text in longest.into_iter().chain(some) {
        if text.is_empty() {
            continue;
        }
        texts.push(Hostile::repeat(&text, n_bytes));
        let mut cut = text.clone();
        cut.pop();
        if !cut.is_empty() {
            texts.push(Hostile::repeat(&cut, n_bytes));
            texts.push(Hostile::repeat(&format!("{cut}a"), n_bytes));
        }
    }
    let mut random = Random(7);
    let n = vocabulary.n_tokens() as u64;
    let mut mixed = |name: &str, pick: &dyn Fn(&mut Random) -> Option<String>| {
        let mut text = String::new();
        while text.len() < n_bytes {
            text += &pick(&mut random).unwrap_or_default();
        }
        texts.push(Hostile { name: name.to_owned(), text });
    };
    mixed("random tokens", &|random| piece((random.next() % n) as Token));
    mixed("random special tokens and a", &|random| {
        Some(specials.get(random.next() as usize % specials.len().max(1))?.clone() + "a")
    });
    mixed("random characters", &|random| {
        Some(CHARACTERS[random.next() as usize % CHARACTERS.len()].to_string())
    });
    mixed("random special tokens and letters", &|random| {
        let special = specials.get(random.next() as usize % specials.len().max(1))?;
        let mut letter = || char::from(b'a' + (random.next() % 26) as u8);
        Some(format!("{special}{}{}{}", letter(), letter(), letter()))
    });
    mixed("random letters", &|random| Some(char::from(b'a' + (random.next() % 26) as u8).into()));
    mixed("random letters a and b", &|random| {
        Some(char::from(b'a' + (random.next() % 2) as u8).into())
    });
    mixed("short words", &|random| {
        let word = ["to", "a", "we", "I", "on", "is"][random.next() as usize % 6];
        let gap = [" ", "\n", "\t", "  ", "\n\n"][random.next() as usize % 5];
        Some(format!("{word}{gap}"))
    });
    texts
}

/// A xorshift generator: the same texts in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
