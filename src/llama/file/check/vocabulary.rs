//! Rejects vocabularies with which llama.cpp cannot tokenize every text.
//!
//! llama.cpp's tokenizers throw, abort or loop forever if a token that they rely on is missing: a
//! token for each byte, or the tokens that are added before and after every text.

use crate::llama::file::gguf::{Header, TokenSummary};

/// Checks that the vocabulary is there and complete, for a model of the architecture `arch`.
///
/// # Errors
/// One line that says what is missing.
pub(super) fn check(header: &Header, arch: &str) -> Result<(), String> {
    let Some(model) = header.string("tokenizer.ggml.model") else {
        return Err("its header names no vocabulary (tokenizer.ggml.model), so it cannot read or \
                    write text; convert it again with its tokenizer"
            .to_owned());
    };
    check_model(model)?;
    let Some(tokens) = header.tokens.as_ref().filter(|tokens| tokens.n > 0) else {
        return Err("its vocabulary (tokenizer.ggml.tokens) has no tokens; convert it again with \
                    its tokenizer"
            .to_owned());
    };
    match model {
        "llama" => check_bytes(&tokens.bytes, "tokens <0x00> to <0xFF>")?,
        "rwkv" if !arch.contains("rwkv") => {
            return Err(format!(
                "its tokenizer.ggml.model is \"rwkv\", which is for RWKV models, and this is a \
                 {arch} model; convert it again with its own tokenizer"
            ));
        }
        "rwkv" => check_bytes(&tokens.escaped_bytes, "tokens of a single byte")?,
        _ => {}
    }
    check_bos_and_eos(header, model, tokens)
}

/// Checks that the tokenizer `model` is one for generating text.
fn check_model(model: &str) -> Result<(), String> {
    let reason = match model {
        "none" | "no_vocab" => {
            "it has no vocabulary, so it cannot read or write text; convert it again with its \
             tokenizer"
        }
        "bert" => "that is for embedding models; this server generates text token by token",
        "t5" => "that is for encoder models; this server generates text token by token",
        "test" => "that is for llama.cpp's own tests and stands for no text",
        _ => return Ok(()),
    };
    Err(format!("its tokenizer.ggml.model is {model:?}: {reason}"))
}

/// Checks that every byte has a token, since llama.cpp falls back to byte tokens for any text.
/// `what` names these tokens in the error.
fn check_bytes(bytes: &[bool; 256], what: &str) -> Result<(), String> {
    match bytes.iter().position(|has_token| !has_token) {
        None => Ok(()),
        Some(byte) => Err(format!(
            "its vocabulary is broken: it must have all {what}, and the one for byte 0x{byte:02X} \
             is missing; convert it again with its tokenizer"
        )),
    }
}

/// Checks that the tokens which llama.cpp adds before and after a text exist; it asserts this for
/// every text.
fn check_bos_and_eos(header: &Header, model: &str, tokens: &TokenSummary) -> Result<(), String> {
    // The ids that llama.cpp uses if the header names no token, or a token out of range.
    let (bos, eos) = match model {
        "llama" | "plamo2" => (Some(1), Some(2)),
        "gemma4" | "rwkv" => (None, None),
        _ => (Some(11), Some(11)),
    };
    let is_missing = |key: &str, default: Option<u64>| {
        let is_token = |&id: &u64| id < tokens.n;
        header.unsigned(key).filter(is_token).or_else(|| default.filter(is_token)).is_none()
    };
    // Gemma 4 adds BOS whatever the header says. For others, a header without the entry leaves it
    // to the pre-tokenizer.
    let is_gemma = model == "gemma4" || header.string("tokenizer.ggml.pre") == Some("gemma4");
    let adds_bos = is_gemma || header.boolean(ADD_BOS_KEY).unwrap_or(true);
    let adds_eos = header.boolean(ADD_EOS_KEY).unwrap_or_else(|| eos == Some(11));
    for (is_added, key, default) in [(adds_bos, BOS_KEY, bos), (adds_eos, EOS_KEY, eos)] {
        if is_added && model != "rwkv" && is_missing(key, default) {
            return Err(format!(
                "its vocabulary is broken: {key} is none of the {} tokens, and every text needs \
                 that token; convert it again with its tokenizer",
                tokens.n
            ));
        }
    }
    Ok(())
}

const BOS_KEY: &str = "tokenizer.ggml.bos_token_id";
const EOS_KEY: &str = "tokenizer.ggml.eos_token_id";
const ADD_BOS_KEY: &str = "tokenizer.ggml.add_bos_token";
const ADD_EOS_KEY: &str = "tokenizer.ggml.add_eos_token";
