//! Compares with llama.cpp what small vocabularies of every kind make of texts.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::hostile::{CHARACTERS, Hostile, of_characters, of_tokens};
use super::tests::{llama_cpp, load, tokenize, vocabulary};
use super::*;

/// A vocabulary, as the metadata of a GGUF file.
struct Vocab {
    /// `tokenizer.ggml.model` and `tokenizer.ggml.pre`.
    kind: (&'static str, &'static str),
    /// The texts of the tokens, with their types and scores.
    tokens: Vec<(String, i32, f32)>,
    merges: Vec<String>,
    adds_space: bool,
}

// Types of tokens in a file.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// What texts are made of, beside single characters.
const PARTS: [&str; 12] =
    ["<s>", "</s>", "<td>", "<td", "</", "\n\n\n", "\n\n", "the ab", "aab", "  ", "1234", "don't"];

impl Vocab {
    fn with_specials(kind: (&'static str, &'static str)) -> Self {
        let special = |text: &str, kind| (text.to_owned(), kind, 0.0);
        let tokens = vec![
            special("<unk>", UNKNOWN),
            special("<s>", CONTROL),
            special("</s>", CONTROL),
            special("<td>", USER_DEFINED),
            special("\n\n", USER_DEFINED),
            special("\n\n\n", USER_DEFINED),
        ];
        Self { kind, tokens, merges: Vec::new(), adds_space: false }
    }

    fn add(&mut self, text: &str, kind: i32) {
        // Later tokens are less frequent.
        let score = -(self.tokens.len() as f32);
        self.tokens.push((text.to_owned(), kind, score));
    }

    fn add_bytes(&mut self, kind: i32, written: impl Fn(u8) -> String) {
        (0..=255).for_each(|byte| self.add(&written(byte), kind));
    }

    fn sentencepiece(adds_space: bool) -> Self {
        let mut vocab = Self::with_specials(("llama", "default"));
        vocab.adds_space = adds_space;
        vocab.add_bytes(BYTE, |byte| format!("<0x{byte:02X}>"));
        let texts = [
            "▁",
            "a",
            "b",
            "t",
            "h",
            "e",
            "▁▁",
            "▁a",
            "aa",
            "ab",
            "th",
            "the",
            "▁the",
            "a▁",
            "aaaa",
            "▁▁▁▁",
            "<",
            "s",
            ">",
            "<s",
            "td",
            "<0",
            "日",
            "日日",
            "é",
            "/",
            "</",
            "12",
            "1",
            "2",
        ];
        for text in texts {
            vocab.add(text, NORMAL);
        }
        vocab
    }

    /// Byte pairs in the characters that GPT-2 writes bytes as.
    fn byte_pairs(pre: &'static str) -> Self {
        let mut vocab = Self::with_specials(("gpt2", pre));
        let is_visible = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let hidden: Vec<u8> = (0..=255).filter(|&byte| !is_visible(byte)).collect();
        let written = |byte: u8| match hidden.iter().position(|&other| other == byte) {
            Some(i) => char::from_u32(0x100 + i as u32).unwrap(),
            None => char::from(byte),
        };
        vocab.add_bytes(NORMAL, |byte| written(byte).to_string());
        for merge in [
            "Ġ Ġ",
            "ĠĠ ĠĠ",
            "a a",
            "aa aa",
            "a b",
            "t h",
            "th e",
            "Ġ the",
            "Ġ a",
            "Ã ©",
            "1 2",
            "12 3",
            "Ċ Ċ",
            "' t",
            "æ Ĺ",
            "< s",
        ] {
            vocab.add(&merge.replace(' ', ""), NORMAL);
            vocab.merges.push(merge.to_owned());
        }
        vocab
    }

    /// Byte pairs on characters, as in Gemma 4.
    fn raw_byte_pairs() -> Self {
        let mut vocab = Self { kind: ("gemma4", "gemma4"), ..Self::sentencepiece(false) };
        let merges =
            ["▁ ▁", "▁▁ ▁▁", "a a", "aa aa", "a b", "t h", "th e", "▁ the", "日 日", "< s"];
        for merge in merges {
            vocab.merges.push(merge.to_owned());
        }
        vocab
    }

    fn rwkv() -> Self {
        let mut vocab =
            Self { kind: ("rwkv", ""), tokens: Vec::new(), ..Self::sentencepiece(false) };
        vocab.tokens.push(("<s>".to_owned(), CONTROL, 0.0));
        vocab.add_bytes(NORMAL, |byte| format!("\\x{byte:02x}"));
        for text in ["aa", "ab", "the", "aaaa", "\\n\\n", "  "] {
            vocab.add(text, NORMAL);
        }
        vocab
    }

    fn plamo2() -> Self {
        let mut vocab = Self::sentencepiece(false);
        vocab.kind = ("plamo2", "default");
        vocab
    }

    /// The bytes of a file with this vocabulary.
    fn file(&self) -> Vec<u8> {
        const U32: u32 = 4;
        const I32: u32 = 5;
        const F32: u32 = 6;
        const BOOL: u32 = 7;
        const STRING: u32 = 8;
        const ARRAY: u32 = 9;
        let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let mut n = 0_u64;
        let mut pairs = Vec::new();
        let mut pair = |key: &str, kind: u32, value: Vec<u8>| {
            n += 1;
            pairs.extend([string(key), kind.to_le_bytes().to_vec(), value].concat());
        };
        let array = |kind: u32, values: Vec<Vec<u8>>| {
            let n = (values.len() as u64).to_le_bytes();
            [&kind.to_le_bytes(), &n[..], &values.concat()].concat()
        };
        let texts = self.tokens.iter().map(|(text, ..)| string(text)).collect();
        let kinds = self.tokens.iter().map(|(_, kind, _)| kind.to_le_bytes().to_vec()).collect();
        let scores = self.tokens.iter().map(|(.., score)| score.to_le_bytes().to_vec()).collect();
        let merges = self.merges.iter().map(|merge| string(merge)).collect();
        pair("general.architecture", STRING, string("llama"));
        for (key, value) in [
            ("context_length", 64),
            ("embedding_length", 64),
            ("block_count", 1),
            ("feed_forward_length", 64),
            ("attention.head_count", 1),
        ] {
            pair(&format!("llama.{key}"), U32, u32::to_le_bytes(value).to_vec());
        }
        pair("tokenizer.ggml.model", STRING, string(self.kind.0));
        pair("tokenizer.ggml.pre", STRING, string(self.kind.1));
        pair("tokenizer.ggml.tokens", ARRAY, array(STRING, texts));
        pair("tokenizer.ggml.token_type", ARRAY, array(I32, kinds));
        pair("tokenizer.ggml.scores", ARRAY, array(F32, scores));
        if !self.merges.is_empty() {
            pair("tokenizer.ggml.merges", ARRAY, array(STRING, merges));
        }
        pair("tokenizer.ggml.bos_token_id", U32, 1_u32.to_le_bytes().to_vec());
        pair("tokenizer.ggml.eos_token_id", U32, 2_u32.to_le_bytes().to_vec());
        pair("tokenizer.ggml.add_space_prefix", BOOL, vec![u8::from(self.adds_space)]);
        let header = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &0_u64.to_le_bytes()];
        [header.concat(), n.to_le_bytes().to_vec(), pairs].concat()
    }
}

/// A vocabulary, in llama.cpp and here.
struct Loaded {
    name: String,
    model: Arc<LlamaModel>,
    vocabulary: LlamaVocabulary,
}

static KINDS: LazyLock<Vec<Loaded>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocabulary.gguf");
    let mut vocabs = vec![
        Vocab::sentencepiece(true),
        Vocab::sentencepiece(false),
        Vocab::raw_byte_pairs(),
        Vocab::rwkv(),
        Vocab::plamo2(),
    ];
    let pres = ["default", "llama-bpe", "qwen2", "smollm", "gpt-4o", "deepseek-v3", "tekken"];
    vocabs.extend(pres.map(Vocab::byte_pairs));
    let load_one = |vocab: Vocab| {
        std::fs::write(&path, vocab.file()).unwrap();
        let model = load(&path);
        let vocabulary = vocabulary(&model);
        Loaded { name: format!("{:?}", vocab.kind), model, vocabulary }
    };
    vocabs.into_iter().map(load_one).collect()
});

fn assert_same(loaded: &Loaded, name: &str, text: &str) {
    let found = tokenize(&loaded.vocabulary, text);
    let expected = llama_cpp(&loaded.model, text);
    assert!(found == expected, "{}, {name}: {found:?}, not {expected:?}", loaded.name);
}

#[test]
fn hostile_text_is_tokenized_as_by_llama_cpp_with_every_kind_of_vocabulary() {
    for loaded in &*KINDS {
        for n_bytes in [1, 90, 2000] {
            let mut texts = of_tokens(&loaded.model, &loaded.vocabulary, n_bytes);
            if n_bytes == 90 {
                texts.extend(of_characters(n_bytes));
            }
            for Hostile { name, text } in texts {
                assert_same(loaded, &name, &text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_tokenized_as_by_llama_cpp_with_every_kind_of_vocabulary(
        parts in prop::collection::vec(
            prop_oneof![
                prop::sample::select(PARTS.to_vec()).prop_map(str::to_owned),
                prop::sample::select(CHARACTERS.to_vec()).prop_map(String::from),
                any::<String>(),
            ],
            0..12,
        ),
    ) {
        let text = parts.concat();
        for loaded in &*KINDS {
            let found = tokenize(&loaded.vocabulary, &text);
            prop_assert_eq!(found, llama_cpp(&loaded.model, &text), "{}, {:?}", loaded.name, text);
        }
    }
}
