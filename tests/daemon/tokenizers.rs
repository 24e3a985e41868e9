//! Vocabularies and tokenizers that cannot tokenize every text are refused in one line.

use crate::fixture::Gguf;
use crate::refusals::assert_header_refused;

#[test]
fn vocabulary_with_repeated_or_missing_tokens_is_refused() {
    let assert_tokens_refused = |change: fn(&mut Vec<Vec<u8>>), words: &[&str]| {
        assert_header_refused(|gguf| gguf.change_tokens(change), words);
    };
    assert_tokens_refused(|tokens| tokens[100] = tokens[99].clone(), &["token 100", "twice"]);
    // llama.cpp reads a token up to its first NUL.
    assert_tokens_refused(
        |tokens| tokens[300] = [&tokens[99][..], b"\0x"].concat(),
        &["token 300", "twice"],
    );
    // llama.cpp gives an empty token this name.
    assert_tokens_refused(
        |tokens| {
            tokens[300] = b"[EMPTY_301]".to_vec();
            tokens[301] = Vec::new();
        },
        &["token 301", "twice"],
    );
    let rename_byte_token = |tokens: &mut Vec<Vec<u8>>| {
        tokens.iter_mut().filter(|token| *token == b"<0xE4>").for_each(|token| token.push(b'x'));
    };
    assert_tokens_refused(rename_byte_token, &["0xE4", "missing"]);
    assert_tokens_refused(Vec::clear, &["no tokens"]);
}

#[test]
fn unusable_tokenizer_is_refused() {
    for (name, words) in [
        ("none", &["none", "cannot read or write"][..]),
        ("no_vocab", &["no_vocab", "cannot read or write"]),
        ("bert", &["bert", "embedding"]),
        ("t5", &["t5", "encoder"]),
        ("rwkv", &["rwkv", "llama"]),
    ] {
        assert_header_refused(|gguf| gguf.set_string("tokenizer.ggml.model", name), words);
    }
}

#[test]
fn special_token_outside_the_vocabulary_is_refused() {
    let change = |gguf: &mut Gguf| {
        gguf.set_string("tokenizer.ggml.model", "gemma4");
        gguf.set_u32("tokenizer.ggml.bos_token_id", 1 << 20);
    };
    assert_header_refused(change, &["bos_token_id"]);
}
