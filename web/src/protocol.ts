/** The frames of the protocol (docs/PROTOCOL.md), as the server sends and reads them. */

/** Version 1 of the protocol, as the name of a WebSocket subprotocol. */
export const SUBPROTOCOL = "inference-core.v1";

export type Right = "infer" | "metrics" | "admin";

export interface ModelInfo {
    name: string;
    arch: string;
    params: number;
    size_bytes: number;
    n_ctx_train: number;
    chat: boolean;
    chat_problem?: string;
    demo: boolean;
}

export interface Hello {
    op: "hello";
    protocol: number;
    server: string;
    build: { version: string; commit: string; llama_cpp: string; cpu_flags: string };
    model: ModelInfo;
    ctx_size: number;
    max_tokens?: number;
    parallel: number;
    backend: string;
    gpu_layers: number;
    n_layers: number;
    auth: "ok" | "required";
}

export type ServerState = "loading" | "idle" | "busy" | "stalled" | "restarting" | "draining";

export interface Gpu {
    index: number;
    name: string;
    uuid: string;
    present: boolean;
    in_use: boolean;
    temp: number | null;
    vram_total_mb: number | null;
    vram_used_mb: number | null;
    vram_free_mb: number | null;
    process_vram_mb: number | null;
    power_watts: number | null;
    fan_percent: number | null;
    utilization_percent: number | null;
    throttling: boolean | null;
    throttle_reasons: string[] | null;
}

/** Milliseconds that the steps of the model spent in each phase since the start. */
export interface StepPhases {
    schedule: number;
    draft: number;
    decode: number;
    commit: number;
}

export interface Inference {
    state: ServerState;
    /** How the model's process ended, while another one starts. */
    cause?: string;
    last_tps: number;
    last_ttft_ms: number;
    total_tokens_generated: number;
    prompt_tokens_total: number;
    active: number;
    queued: number;
    slots: number;
    kv_used_tokens: number;
    kv_total_tokens: number;
    connections: number;
    tps_now: number;
    uptime_s: number;
    /** How much of the model is loaded, 0 to 1. */
    load_progress?: number;
    /** Requests that have begun and wait for a slot again. */
    suspended?: number;
    kv_running_tokens?: number;
    /** Prompt tokens that the prefix cache had; not in `prompt_tokens_total`. */
    cached_tokens_total?: number;
    drafted_tokens_total?: number;
    accepted_tokens_total?: number;
    steps_total?: number;
    step_phases_ms?: StepPhases;
    /** How often the model's process was replaced. */
    restarts?: number;
    /** Newer servers send more. */
    [field: string]: unknown;
}

export interface Metrics {
    op: "metrics";
    /** Unix seconds. */
    timestamp: number;
    gpu: Partial<Gpu> | null;
    gpus: Gpu[];
    inference: Inference;
}

export interface TextPart {
    type: "text";
    text: string;
}

export interface SentToolCall {
    id: string;
    type: "function";
    function: { name: string; arguments: string };
}

export interface Message {
    role: "system" | "developer" | "user" | "assistant" | "tool";
    content: string | TextPart[] | null;
    reasoning_content?: string;
    tool_calls?: SentToolCall[];
    tool_call_id?: string;
    name?: string;
}

export interface Tool {
    type: "function";
    function: { name: string; description?: string; parameters?: unknown };
}

export type ToolChoice =
    "auto" | "none" | "required" | { type: "function"; function: { name: string } };

export type Format =
    | "json"
    | { type: "json" }
    | { type: "json_schema"; schema: unknown }
    | { type: "regex"; pattern: string }
    | { type: "choice"; choices: string[] }
    | { type: "grammar"; syntax: "lark" | "gbnf"; grammar: string };

export interface Params {
    temp?: number;
    top_k?: number;
    top_p?: number;
    min_p?: number;
    typical_p?: number;
    repeat_penalty?: number;
    presence_penalty?: number;
    frequency_penalty?: number;
    repeat_last_n?: number;
    logit_bias?: Record<string, number>;
    ignore_eos?: boolean;
    seed?: number;
    stop?: string[];
    max_tokens?: number;
    cache_prompt?: boolean;
    progress?: boolean;
    logprobs?: number;
    special?: boolean;
    reasoning_budget?: number;
    speculative?: "off" | "ngram" | "auto";
}

/** A request for text: `prompt` or `messages`. */
export interface InferRequest {
    prompt?: string;
    messages?: Message[];
    tools?: Tool[];
    tool_choice?: ToolChoice;
    parallel_tool_calls?: boolean;
    reasoning?: boolean;
    enable_thinking?: boolean;
    reasoning_effort?: string;
    chat_template_kwargs?: Record<string, unknown>;
    continue_final_message?: boolean;
    format?: Format;
    params?: Params;
}

export interface TokenLogprob {
    token: string;
    id: number;
    logprob: number;
    bytes: number[];
}

export interface Logprob extends TokenLogprob {
    top: TokenLogprob[];
}

export interface TokenFrame {
    op: "token";
    id: string;
    content: string;
    logprobs?: Logprob[];
}

export interface ReasoningFrame {
    op: "reasoning";
    id: string;
    content: string;
    logprobs?: Logprob[];
}

export interface ToolCallFrame {
    op: "tool_call";
    id: string;
    index: number;
    /** Only in the first frame of a call, as `name`. */
    call_id?: string;
    name?: string;
    arguments: string;
}

export interface QueuedFrame {
    op: "queued";
    id: string;
    position: number;
}

export interface ProgressFrame {
    op: "progress";
    id: string;
    processed: number;
    total: number;
}

export interface Stats {
    ttft_ms: number | null;
    total_ms: number;
    tokens: number;
    tps: number | null;
    prompt_tokens: number;
    cached_tokens: number;
    queue_ms: number;
    prompt_ms: number;
    prompt_tps: number | null;
    drafted: number;
    accepted: number;
}

export interface EndFrame {
    op: "end";
    id: string;
    finish_reason: "stop" | "length" | "abort" | "tool_calls";
    limit?: "max_tokens" | "context";
    warnings?: string[];
    stats: Stats;
}

export interface ErrorFrame {
    op: "error";
    id?: string;
    code: string;
    message: string;
    retry_after_ms?: number;
}

export interface AuthenticatedFrame {
    op: "authenticated";
    rights: Right[];
}

export type ServerFrame =
    | Hello
    | Metrics
    | TokenFrame
    | ReasoningFrame
    | ToolCallFrame
    | QueuedFrame
    | ProgressFrame
    | EndFrame
    | ErrorFrame
    | AuthenticatedFrame
    | { op: "pong" };
