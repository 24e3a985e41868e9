//! Chat templates of common formats, for files without a usable template of their own.
//!
//! Their names and formats are those of llama.cpp (`llama-chat.cpp`), which names a format after
//! the model family that introduced it. `gpt-oss` also writes the channel of an answer.

/// The source of the built-in chat template called `name`.
///
/// # Examples
///
/// ```
/// use inference_core::llama::builtin_chat_template;
///
/// assert!(builtin_chat_template("chatml").is_some_and(|source| source.contains("<|im_start|>")));
/// assert_eq!(builtin_chat_template("none"), None);
/// ```
pub fn builtin_chat_template(name: &str) -> Option<&'static str> {
    BUILTIN_CHAT_TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, source)| *source)
}

/// The built-in chat templates: names and sources, sorted by name.
pub const BUILTIN_CHAT_TEMPLATES: [(&str, &str); 19] = [
    ("chatml", include_str!("builtin/chatml.jinja")),
    ("command-r", include_str!("builtin/command-r.jinja")),
    ("deepseek2", include_str!("builtin/deepseek2.jinja")),
    ("deepseek3", include_str!("builtin/deepseek3.jinja")),
    ("falcon3", include_str!("builtin/falcon3.jinja")),
    ("gemma", include_str!("builtin/gemma.jinja")),
    ("gpt-oss", include_str!("builtin/gpt-oss.jinja")),
    ("granite", include_str!("builtin/granite.jinja")),
    ("llama2", include_str!("builtin/llama2.jinja")),
    ("llama3", include_str!("builtin/llama3.jinja")),
    ("llama4", include_str!("builtin/llama4.jinja")),
    ("mistral-v1", include_str!("builtin/mistral-v1.jinja")),
    ("mistral-v3", include_str!("builtin/mistral-v3.jinja")),
    ("mistral-v7", include_str!("builtin/mistral-v7.jinja")),
    ("openchat", include_str!("builtin/openchat.jinja")),
    ("phi3", include_str!("builtin/phi3.jinja")),
    ("phi4", include_str!("builtin/phi4.jinja")),
    ("vicuna", include_str!("builtin/vicuna.jinja")),
    ("zephyr", include_str!("builtin/zephyr.jinja")),
];
