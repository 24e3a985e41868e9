//! Texts that llama.cpp's regular expressions would need more stack for than there is.

use std::mem::ManuallyDrop;

use inference_core::domain::{Prompt, Refusal};
use inference_core::llama::ModelSource;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};

/// Where the fixture has its tokens for the 256 bytes.
const FIRST_BYTE: usize = 300;

/// A model with a byte-pair vocabulary and llama.cpp's regular expressions `pre`.
fn byte_pairs(pre: &str) -> Gguf {
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;
    let mut gguf = Gguf::random("llama", 1);
    gguf.set_text("tokenizer.ggml.model", "gpt2");
    gguf.set_text("tokenizer.ggml.pre", pre);
    gguf.change_tokens(|tokens| {
        for (id, token) in tokens.iter_mut().enumerate().skip(7) {
            *token = format!("tok{id}").into_bytes();
        }
        // GPT-2 writes bytes that are no visible character as those from U+0100.
        let is_visible = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let mut hidden = (0x100..).filter_map(char::from_u32);
        for byte in 0..=255_u8 {
            let written = if is_visible(byte) { byte.into() } else { hidden.next().unwrap() };
            tokens[FIRST_BYTE + usize::from(byte)] = written.to_string().into_bytes();
        }
    });
    let merges = ["a b", "h e", "l l"];
    let mut raw = TEXT.to_le_bytes().to_vec();
    raw.extend((merges.len() as u64).to_le_bytes());
    for merge in merges {
        raw.extend((merge.len() as u64).to_le_bytes());
        raw.extend(merge.as_bytes());
    }
    gguf.set("tokenizer.ggml.merges", ARRAY, &raw);
    gguf
}

/// Tokens of a prompt that is too long for its context.
fn n_tokens(harness: &Harness, text: &str) -> usize {
    match harness.submit(Prompt::Text(text.to_owned()), greedy(1)) {
        Err(Refusal::ContextOverflow { prompt_tokens, at_least: false, .. }) => prompt_tokens,
        Err(refusal) => panic!("{refusal:?}"),
        Ok(_) => panic!("it fits"),
    }
}

#[test]
fn a_word_of_any_length_is_counted_and_a_long_text_has_the_tokens_of_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    for pre in ["default", "deepseek-llm", "gpt-4o"] {
        let path = byte_pairs(pre).write(folder.path(), "pairs.gguf");
        let harness = Harness::on(ModelSource::File(path.clone()), 1, 1024);
        for (char, n) in [('x', 250_000), ('7', 60_000), (' ', 200_000), ('!', 200_000)] {
            let counted = n_tokens(&harness, &char.to_string().repeat(n));
            assert!((n..=n + 1).contains(&counted), "{pre} {char:?}: {counted}");
        }
        // The harness has started the backend, and it stays up.
        let backend = ManuallyDrop::new(LlamaBackend {});
        let params = LlamaModelParams::default().with_vocab_only(true);
        let model = LlamaModel::load_from_file(&backend, &path, &params).unwrap();
        let lines = "hello, cab: 1234\n  the  bell!\n\n".repeat(5000);
        let expected = model.vocab().tokenize(lines.as_bytes(), true, true).len();
        assert_eq!(n_tokens(&harness, &lines), expected, "{pre}");
    }
}
