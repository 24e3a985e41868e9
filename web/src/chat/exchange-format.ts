/** What a file of conversations consists of. */

import {
    finite,
    flag,
    json,
    list,
    nullable,
    object,
    oneOf,
    record,
    text,
    WrongField,
    type Reader,
} from "./decode";
import type { Format, ToolChoice } from "../protocol";
import type { ChatMessage, ChatSettings, Conversation, MockTool, Outcome } from "./types";

const token = { token: text, id: finite, logprob: finite, bytes: list(finite) };
const logprob = object({ ...token, top: list(object(token)) });

const stats = object({
    ttft_ms: nullable(finite),
    total_ms: finite,
    tokens: finite,
    tps: nullable(finite),
    prompt_tokens: finite,
    cached_tokens: finite,
    queue_ms: finite,
    prompt_ms: finite,
    prompt_tps: nullable(finite),
    drafted: finite,
    accepted: finite,
});

const isTrue: Reader<true> = (value, field) => {
    if (value !== true) throw new WrongField(field);
    return value;
};

const end = object(
    { finish_reason: oneOf("stop", "length", "abort", "tool_calls"), stats },
    {
        limit: oneOf("max_tokens", "context"),
        warnings: list(text),
        isStoppedElsewhere: isTrue,
    },
);

const outcome: Reader<Outcome> = byKind<Outcome>("kind", {
    ended: object({ kind: oneOf("ended"), end }),
    failed: object({ kind: oneOf("failed"), code: text, message: text }),
    interrupted: object({ kind: oneOf("interrupted") }),
});

const message: Reader<ChatMessage> = object(
    {
        id: text,
        parent: nullable(text),
        role: oneOf("user", "assistant", "tool"),
        text,
        created: finite,
    },
    {
        reasoning: text,
        reasoningMs: finite,
        calls: list(object({ id: text, name: text, arguments: text })),
        callsAt: finite,
        callId: text,
        toolName: text,
        logprobs: list(logprob),
        outcome,
    },
);

const params = object(
    {},
    {
        temp: finite,
        top_k: finite,
        top_p: finite,
        min_p: finite,
        typical_p: finite,
        repeat_penalty: finite,
        presence_penalty: finite,
        frequency_penalty: finite,
        repeat_last_n: finite,
        logit_bias: record(/^\d+$/, finite),
        ignore_eos: flag,
        seed: finite,
        stop: list(text),
        max_tokens: finite,
        cache_prompt: flag,
        progress: flag,
        logprobs: finite,
        special: flag,
        reasoning_budget: finite,
        speculative: oneOf("off", "ngram", "auto"),
    },
);

const constraint: Reader<Format> = byKind<Format>("type", {
    json: object({ type: oneOf("json") }),
    json_schema: object({ type: oneOf("json_schema"), schema: json }),
    regex: object({ type: oneOf("regex"), pattern: text }),
    choice: object({ type: oneOf("choice"), choices: list(text) }),
    grammar: object({ type: oneOf("grammar"), syntax: oneOf("lark", "gbnf"), grammar: text }),
});

const format: Reader<Format> = (value, field) =>
    value === "json" ? value : constraint(value, field);

const toolFunction = object({ name: text }, { description: text, parameters: json });

const tool: Reader<MockTool> = object({
    tool: object({ type: oneOf("function"), function: toolFunction }),
    result: nullable(text),
});

const toolChoice: Reader<ToolChoice> = (value, field) =>
    typeof value === "string"
        ? oneOf("auto", "none", "required")(value, field)
        : object({ type: oneOf("function"), function: object({ name: text }) })(value, field);

const settings: Reader<ChatSettings> = object({
    mode: oneOf("chat", "raw"),
    system: text,
    params,
    format: nullable(format),
    tools: list(tool),
    toolChoice,
    thinking: nullable(flag),
    showsProbabilities: flag,
});

/** Reads a conversation with the ids that the file has. */
export const conversation: Reader<Conversation> = object({
    id: text,
    title: text,
    created: finite,
    changed: finite,
    settings,
    // Their keys repeat the ids, which are renewed.
    messages: record(/^(?!__proto__$)/, message),
    leaf: nullable(text),
    draft: text,
});

/** An object whose member `name` says which of `readers` reads it. */
function byKind<T>(name: string, readers: Record<string, Reader<T>>): Reader<T> {
    return (value, field) => {
        const kind = (value as Record<string, unknown> | null)?.[name];
        const reader =
            typeof kind === "string" && Object.hasOwn(readers, kind) ? readers[kind] : undefined;
        if (!reader) throw new WrongField(`${field}.${name}`);
        return reader(value, field);
    };
}
