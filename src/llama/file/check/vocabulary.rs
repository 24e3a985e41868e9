//! Refuses vocabularies that llama.cpp cannot turn every text into tokens with: its tokenizers
//! throw, assert or loop for ever where a token they count on is missing.

use super::super::gguf::{Header, Tokens};

const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";

/// Checks that the vocabulary is there and whole.
///
/// # Errors
/// One line on what is missing.
pub(in crate::llama::file) fn check(header: &Header, arch: &str) -> Result<(), String> {
    let Some(model) = header.text("tokenizer.ggml.model") else {
        return Err("its header names no vocabulary (tokenizer.ggml.model), so it cannot read or \
                    write text; convert it again with its tokenizer"
            .to_owned());
    };
    let no_text = |reason: &str| Err(format!("its vocabulary is {model:?}: {reason}"));
    match model {
        "none" | "no_vocab" => {
            return no_text(
                "none at all, so it cannot read or write text; convert it again with \
                            its tokenizer",
            );
        }
        "bert" => {
            return no_text("that of embedding models; this server generates text token by token");
        }
        "t5" => {
            return no_text("that of encoder models; this server generates text token by token");
        }
        "test" => return no_text("made for llama.cpp's own tests; it stands for no text"),
        _ => {}
    }
    let Some(tokens) = header.tokens.as_ref().filter(|tokens| tokens.n > 0) else {
        return Err("its vocabulary (tokenizer.ggml.tokens) has no tokens; convert it again with \
                    its tokenizer"
            .to_owned());
    };
    match model {
        "llama" => check_bytes(&tokens.bytes, "tokens <0x00> to <0xFF>")?,
        "rwkv" => {
            if !arch.contains("rwkv") {
                return no_text(&format!(
                    "that is for RWKV models, and this one is a {arch}; \
                                         convert it again with its own tokenizer"
                ));
            }
            check_bytes(&tokens.escaped_bytes, "tokens of a single byte")?;
        }
        _ => {}
    }
    check_ends(header, model, tokens)
}

/// llama.cpp falls back to the tokens of single bytes, for any text.
fn check_bytes(bytes: &[bool; 256], what: &str) -> Result<(), String> {
    match bytes.iter().position(|is_there| !is_there) {
        None => Ok(()),
        Some(byte) => Err(format!(
            "its vocabulary is broken: it must have all {what}, and the one for byte 0x{byte:02X} \
             is missing; convert it again with its tokenizer"
        )),
    }
}

/// The tokens that llama.cpp puts around a text must be there; it asserts so at each one.
fn check_ends(header: &Header, model: &str, tokens: &Tokens) -> Result<(), String> {
    // What llama.cpp takes where the header names none, or one that is not there.
    let (bos, eos) = match model {
        "llama" | "plamo2" => (Some(1), Some(2)),
        "gemma4" | "rwkv" => (None, None),
        _ => (Some(11), Some(11)),
    };
    let is_missing = |key: &str, default: Option<u64>| {
        let is_token = |&id: &u64| id < tokens.n;
        header.unsigned(key).filter(is_token).or_else(|| default.filter(is_token)).is_none()
    };
    // Gemma's texts always begin with it, whatever the header says; the others' do where the
    // header does not speak of it and the kind of pre-tokenizer asks for it.
    let is_gemma = model == "gemma4" || header.text("tokenizer.ggml.pre") == Some("gemma4");
    let adds_bos = is_gemma || header.boolean(ADD_BOS).unwrap_or(true);
    let adds_eos = header.boolean(ADD_EOS).unwrap_or_else(|| eos == Some(11));
    for (adds, key, default) in [(adds_bos, BOS, bos), (adds_eos, EOS, eos)] {
        if adds && model != "rwkv" && is_missing(key, default) {
            return Err(format!(
                "its vocabulary is broken: {key} is none of the {} tokens, and each text needs \
                 that token; convert it again with its tokenizer",
                tokens.n
            ));
        }
    }
    Ok(())
}
