//! The names of all fields that an `infer` frame may have, and those of other servers.
//!
//! To add a field, add its name to a list here; the code that reads it asks for it by name. A field
//! that is in no list is ignored, and a [warning](super::warnings) names it.

/// Fields of a frame.
pub(super) const FRAME_FIELDS: &[&str] = &[
    "op",
    "id",
    "prompt",
    "messages",
    "params",
    "token",
    "format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "documents",
    "reasoning",
    "reasoning_effort",
    "enable_thinking",
    "chat_template_kwargs",
    "continue_final_message",
];

/// Fields of a frame that need `messages`.
pub(super) const CONVERSATION_FIELDS: &[&str] = &[
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "documents",
    "reasoning",
    "reasoning_effort",
    "enable_thinking",
    "chat_template_kwargs",
    "continue_final_message",
];

/// Fields of `format`.
pub(super) const FORMAT_FIELDS: &[&str] =
    &["type", "schema", "pattern", "choices", "syntax", "grammar"];

/// Fields of an entry of `messages`.
pub(super) const MESSAGE_FIELDS: &[&str] =
    &["role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name"];

/// Fields of `params`.
pub(super) const PARAM_FIELDS: &[&str] = &[
    "temp",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "logit_bias",
    "ignore_eos",
    "max_tokens",
    "cache_prompt",
    "progress",
    "logprobs",
    "speculative",
    "special",
    "reasoning_budget",
];

/// What to do about a field that other servers have.
#[derive(Debug, Clone, Copy)]
pub(super) enum FieldAdvice {
    /// Send this field instead.
    Send(&'static str),
    /// Nothing here has this meaning.
    Unsupported,
    /// What to know or do, as the second half of a sentence.
    Note(&'static str),
}

use FieldAdvice::{Note, Send, Unsupported};

/// Fields of llama.cpp, OpenAI, Anthropic, Ollama, vLLM, text-generation-inference and
/// transformers.
pub(super) const FOREIGN_FIELDS: &[(&str, FieldAdvice)] = &[
    // Other names of what there is.
    ("n_predict", Send("params.max_tokens")),
    ("num_predict", Send("params.max_tokens")),
    ("max_new_tokens", Send("params.max_tokens")),
    ("max_completion_tokens", Send("params.max_tokens")),
    ("max_output_tokens", Send("params.max_tokens")),
    ("max_tokens_to_sample", Send("params.max_tokens")),
    ("max_length", Send("params.max_tokens")),
    ("repetition_penalty", Send("params.repeat_penalty")),
    ("penalty_repeat", Send("params.repeat_penalty")),
    ("penalty_last_n", Send("params.repeat_last_n")),
    ("penalty_freq", Send("params.frequency_penalty")),
    ("penalty_present", Send("params.presence_penalty")),
    ("typ_p", Send("params.typical_p")),
    ("typical", Send("params.typical_p")),
    ("n_probs", Send("params.logprobs")),
    ("top_logprobs", Send("params.logprobs")),
    ("prompt_logprobs", Unsupported),
    ("return_progress", Send("params.progress")),
    ("stop_sequences", Send("params.stop")),
    ("stop_strings", Send("params.stop")),
    ("stop_words", Send("params.stop")),
    ("random_seed", Send("params.seed")),
    ("options", Send("params")),
    ("parameters", Send("params")),
    ("sampling_params", Send("params")),
    ("generation_config", Send("params")),
    ("extra_body", Send("params")),
    ("input", Send("prompt")),
    ("inputs", Send("prompt")),
    ("text", Send("prompt")),
    ("conversation", Send("messages")),
    ("history", Send("messages")),
    ("request_id", Send("id")),
    ("system", Note("send a message with the role system")),
    ("system_prompt", Note("send a message with the role system")),
    ("instructions", Note("send a message with the role system")),
    ("do_sample", Note("params.temp 0 always takes the likeliest token")),
    ("spec_type", Send("params.speculative")),
    ("response_format", Send("format")),
    ("json_schema", Send("format")),
    ("grammar", Send("format")),
    ("guided_json", Send("format")),
    ("guided_regex", Send("format")),
    ("guided_choice", Send("format")),
    ("guided_grammar", Send("format")),
    ("structured_outputs", Send("format")),
    // What cannot be chosen in a request.
    ("stream", Note("every answer is streamed")),
    ("stream_options", Note("every end has stats")),
    ("return_tokens", Note("params.logprobs reports the tokens")),
    ("echo", Note("an answer never repeats its prompt")),
    ("model", Note("the server has one model")),
    ("num_ctx", Note("--ctx-size of the server decides")),
    ("n_ctx", Note("--ctx-size of the server decides")),
    ("num_thread", Note("--threads of the server decides")),
    ("num_gpu", Note("--gpu-layers of the server decides")),
    ("keep_alive", Note("the model stays loaded")),
    ("id_slot", Note("the server chooses the slot")),
    ("thinking_budget", Send("params.reasoning_budget")),
    ("thinking_budget_tokens", Send("params.reasoning_budget")),
    ("effort", Send("reasoning_effort")),
    ("api_key", Note("send it in the header Authorization, or in an auth frame")),
    ("chat_template", Note("--chat-template of the server decides")),
    // What there is not.
    ("functions", Unsupported),
    ("function_call", Unsupported),
    ("n", Unsupported),
    ("n_cmpl", Unsupported),
    ("best_of", Unsupported),
    ("num_beams", Unsupported),
    ("use_beam_search", Unsupported),
    ("length_penalty", Unsupported),
    ("suffix", Unsupported),
    ("input_prefix", Unsupported),
    ("input_suffix", Unsupported),
    ("images", Unsupported),
    ("image_data", Unsupported),
    ("audio", Unsupported),
    ("modalities", Unsupported),
    ("user", Unsupported),
    ("metadata", Unsupported),
    ("store", Unsupported),
    ("service_tier", Unsupported),
    ("prediction", Unsupported),
    ("verbosity", Unsupported),
    ("thinking", Note("send the thinking of an answer as reasoning_content of its message")),
    ("add_generation_prompt", Unsupported),
    ("n_keep", Unsupported),
    ("n_discard", Unsupported),
    ("n_indent", Unsupported),
    ("min_keep", Unsupported),
    ("min_tokens", Unsupported),
    ("stop_token_ids", Unsupported),
    ("bad_words", Unsupported),
    ("skip_special_tokens", Note("params.special shows special tokens")),
    ("penalize_nl", Unsupported),
    ("dynatemp_range", Unsupported),
    ("dynatemp_exponent", Unsupported),
    ("xtc_probability", Unsupported),
    ("xtc_threshold", Unsupported),
    ("dry_multiplier", Unsupported),
    ("dry_base", Unsupported),
    ("dry_allowed_length", Unsupported),
    ("dry_penalty_last_n", Unsupported),
    ("dry_sequence_breakers", Unsupported),
    ("mirostat", Unsupported),
    ("mirostat_tau", Unsupported),
    ("mirostat_eta", Unsupported),
    ("top_n_sigma", Unsupported),
    ("tfs_z", Unsupported),
    ("top_a", Unsupported),
    ("epsilon_cutoff", Unsupported),
    ("eta_cutoff", Unsupported),
    ("samplers", Unsupported),
    ("lora", Unsupported),
    ("timings_per_token", Unsupported),
    ("post_sampling_probs", Unsupported),
    ("response_fields", Unsupported),
    ("t_max_predict_ms", Unsupported),
    ("t_max_prompt_ms", Unsupported),
];
