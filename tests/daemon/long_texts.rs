//! Texts with which llama.cpp's regular expressions would overflow the stack.

use std::mem::ManuallyDrop;

use inference_core::domain::{Prompt, Refusal};
use inference_core::llama::ModelSource;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};

#[test]
fn long_text_has_the_tokens_of_llama_cpp_and_any_word_is_tokenized() {
    let folder = tempfile::tempdir().unwrap();
    for pre_tokenizer in ["default", "deepseek-llm", "gpt-4o"] {
        let path = byte_pair_model(pre_tokenizer).write(folder.path(), "pairs.gguf");
        let harness = Harness::new(ModelSource::File(path.clone()), 1, 1024);
        for (char, n) in [('x', 250_000), ('7', 60_000), (' ', 200_000), ('!', 200_000)] {
            let found = n_tokens(&harness, &char.to_string().repeat(n));
            assert!((n..=n + 1).contains(&found), "{pre_tokenizer} {char:?}: {found} tokens");
        }
        // The harness has initialized llama.cpp's backend, which stays initialized.
        let backend = ManuallyDrop::new(LlamaBackend {});
        let params = LlamaModelParams::default().with_vocab_only(true);
        let model = LlamaModel::load_from_file(&backend, &path, &params).unwrap();
        let lines = "hello, cab: 1234\n  the  bell!\n\n".repeat(5000);
        let expected = model.vocab().tokenize(lines.as_bytes(), true, true).len();
        assert_eq!(n_tokens(&harness, &lines), expected, "{pre_tokenizer}");
    }
}

/// A model with a byte-pair vocabulary and the given pre-tokenizer of llama.cpp.
fn byte_pair_model(pre_tokenizer: &str) -> Gguf {
    /// The id of the token for the byte 0. Those of the other bytes follow.
    const FIRST_BYTE_TOKEN: usize = 300;
    let mut gguf = Gguf::random("llama", 1);
    gguf.set_string("tokenizer.ggml.model", "gpt2");
    gguf.set_string("tokenizer.ggml.pre", pre_tokenizer);
    gguf.change_tokens(|tokens| {
        for (id, token) in tokens.iter_mut().enumerate().skip(7) {
            *token = format!("tok{id}").into_bytes();
        }
        // GPT-2 writes a byte that is not a visible character as a character from U+0100 on.
        let is_visible = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let mut replacements = (0x100..).filter_map(char::from_u32);
        for byte in 0..=255_u8 {
            let written = if is_visible(byte) { byte.into() } else { replacements.next().unwrap() };
            tokens[FIRST_BYTE_TOKEN + usize::from(byte)] = written.to_string().into_bytes();
        }
    });
    gguf.set_strings("tokenizer.ggml.merges", &["a b", "h e", "l l"]);
    gguf
}

/// Number of tokens of a prompt that is too long for the context.
fn n_tokens(harness: &Harness, text: &str) -> usize {
    match harness.submit(Prompt::Text(text.to_owned()), greedy(1)) {
        Err(Refusal::ContextOverflow { prompt_tokens, is_lower_bound: false, .. }) => prompt_tokens,
        Err(refusal) => panic!("{refusal:?}"),
        Ok(_) => panic!("the prompt fits into the context"),
    }
}
