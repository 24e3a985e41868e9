import { describe, expect, test } from "vitest";

import {
    fromJson,
    MAX_FILE_BYTES,
    toJson,
    toMarkdown,
    withoutKnown,
} from "../../../src/chat/exchange";
import {
    DEFAULT_SETTINGS,
    type ChatMessage,
    type ChatSettings,
    type Conversation,
} from "../../../src/chat/types";

const STATS = {
    ttft_ms: 12,
    total_ms: 340,
    tokens: 5,
    tps: null,
    prompt_tokens: 9,
    cached_tokens: 0,
    queue_ms: 0,
    prompt_ms: 8,
    prompt_tps: 1000,
    drafted: 0,
    accepted: 0,
};

const SETTINGS: ChatSettings = {
    ...DEFAULT_SETTINGS,
    system: "Answer briefly.",
    params: { temp: 0.3, stop: ["\n\n"], logit_bias: { "5": -100 }, speculative: "off" },
    format: { type: "json_schema", schema: { type: "object", properties: { a: { enum: [1] } } } },
    tools: [
        { tool: { type: "function", function: { name: "now", parameters: {} } }, result: "12:00" },
    ],
    toolChoice: { type: "function", function: { name: "now" } },
    thinking: false,
};

function message(part: Partial<ChatMessage> & Pick<ChatMessage, "id" | "role">): ChatMessage {
    return { parent: null, text: "", created: 1, ...part };
}

function conversation(messages: ChatMessage[], part: Partial<Conversation> = {}): Conversation {
    return {
        id: "c1",
        title: "Time",
        created: 1,
        changed: 2,
        settings: SETTINGS,
        messages: Object.fromEntries(messages.map((message) => [message.id, message])),
        leaf: messages.at(-1)?.id ?? null,
        draft: "",
        ...part,
    };
}

const QUESTION = message({ id: "q", role: "user", text: "What time is it?" });
const CALL = message({
    id: "call",
    role: "assistant",
    parent: "q",
    text: "I look.",
    reasoning: "A clock\n\nis needed.",
    calls: [{ id: "b7", name: "now", arguments: '{"zone":"UTC"}' }],
    logprobs: [{ token: "I", id: 1, logprob: -0.1, bytes: [73], top: [] }],
    outcome: { kind: "ended", end: { finish_reason: "tool_calls", stats: STATS } },
});
const RESULT = message({
    id: "r",
    role: "tool",
    parent: "call",
    callId: "b7",
    toolName: "now",
    text: "12:00",
});
const ANSWER = message({
    id: "a",
    role: "assistant",
    parent: "r",
    text: "Noon.",
    outcome: { kind: "failed", code: "busy", message: "try later" },
});
const TALK = conversation([QUESTION, CALL, RESULT, ANSWER]);

/** A file with one conversation that has `value` at `path`; `undefined` takes away what is there. */
function fileWith(path: string, value: unknown): string {
    const conversation = JSON.parse(JSON.stringify(TALK)) as Record<string, unknown>;
    const names = path.split(".");
    const last = names.pop()!;
    const target = names.reduce((at, name) => at[name] as Record<string, unknown>, conversation);
    target[last] = value;
    return toJson([conversation as unknown as Conversation]);
}

/** The messages on the way to the leaf. */
function branch({ messages, leaf }: Conversation): ChatMessage[] {
    const found: ChatMessage[] = [];
    for (let id = leaf; id !== null; id = messages[id]!.parent) found.unshift(messages[id]!);
    return found;
}

describe("JSON", () => {
    test("a conversation survives the way out and back, with new ids", () => {
        const [read] = fromJson(toJson([TALK]));
        const withoutIds = (messages: ChatMessage[]) =>
            messages.map(({ id: _, parent: __, ...rest }) => rest);

        expect(withoutIds(branch(read!))).toEqual(withoutIds(branch(TALK)));
        expect(read!.settings).toEqual(SETTINGS);
        expect(read!.title).toBe("Time");
        expect(read!.id).not.toBe(TALK.id);
        expect(Object.keys(read!.messages)).toEqual(Object.values(read!.messages).map((m) => m.id));
        expect(read!.messages).not.toHaveProperty("q");
    });

    test("two imports of one file share no id", () => {
        const text = toJson([TALK]);
        const ids = [...fromJson(text), ...fromJson(text)].flatMap((read) => [
            read.id,
            ...Object.keys(read.messages),
        ]);
        expect(new Set(ids).size).toBe(10);
    });

    test("an answer that ran when the file was written is interrupted", () => {
        const { outcome: _, ...running } = ANSWER;
        const [read] = fromJson(toJson([conversation([QUESTION, { ...running, parent: "q" }])]));
        expect(branch(read!).at(-1)!.outcome).toEqual({ kind: "interrupted" });
    });

    test.each(["extra", "settings.extra", "settings.params.extra", "messages.q.extra"])(
        "the unknown member %s is dropped",
        (path) => {
            const [read] = fromJson(fileWith(path, "unknown"));
            expect(JSON.stringify(read)).not.toContain("unknown");
        },
    );

    test.each(["settings", "params", "logit_bias", "messages", "schema", "a"])(
        "a __proto__ in %s changes no prototype and is dropped",
        (name) => {
            const text = toJson([TALK]).replace(
                new RegExp(`"${name}": ?\\{`),
                `"${name}":{"__proto__":{"polluted":true},`,
            );
            expect(text).toContain("polluted");
            const [read] = fromJson(text);
            expect(JSON.stringify(read)).not.toContain("polluted");
            expect(Object.getPrototypeOf(read!.settings.params)).toBe(Object.prototype);
            expect({}).not.toHaveProperty("polluted");
        },
    );

    test.each<[string, string]>([
        ["nothing", ""],
        ["half a file", toJson([TALK]).slice(0, 200)],
    ])("%s is no JSON", (_, text) => {
        expect(() => fromJson(text)).toThrow("not JSON");
    });

    test.each<[string, string]>([
        ["null", "null"],
        ["a list", "[]"],
        ["another program's file", '{"conversations":[]}'],
    ])("%s has no conversations", (_, text) => {
        expect(() => fromJson(text)).toThrow("no conversations of inference-core");
    });

    test("a file of a newer version is refused", () => {
        const text = toJson([]).replace('"version": 1', '"version": 2');
        expect(() => fromJson(text)).toThrow("newer version");
    });

    test("a file that is too large is refused before it is read", () => {
        expect(() => fromJson(" ".repeat(MAX_FILE_BYTES + 1))).toThrow("larger than 64 MiB");
    });

    test("too many conversations are refused", () => {
        const text = toJson([]).replace("[]", `[${"0,".repeat(10_000)}0]`);
        expect(() => fromJson(text)).toThrow("more than 10,000 conversations");
    });

    test.each<[string, string, unknown, string?]>([
        ["a title of a wrong type", "title", 5],
        ["a missing draft", "draft", undefined],
        ["an unknown role", "messages.q.role", "root"],
        ["an unknown outcome", "messages.a.outcome", { kind: "x" }, "messages.a.outcome.kind"],
        ["an outcome without a kind", "messages.a.outcome", null, "messages.a.outcome.kind"],
        ["a number that is none", "settings.params.temp", "0.5"],
        ["an unknown format", "settings.format", { type: "toString" }, "settings.format.type"],
        ["an unknown parent", "messages.a.parent", "lost", "messages.parent"],
        ["a circle of messages", "messages.q.parent", "a", "messages.parent"],
        ["one id twice", "messages.a.id", "q", "messages.id"],
        ["an unknown leaf", "leaf", "lost"],
    ])("%s is named with its place", (_, path, value, place = path) => {
        expect(() => fromJson(fileWith(path, value))).toThrow(
            `conversation 1 is wrong at “${place}”`,
        );
    });

    test("a schema without end is refused", () => {
        const deep = `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`;
        const text = toJson([TALK]).replace(/"schema": ?\{/, `"schema":{"x":${deep},`);
        expect(() => fromJson(text)).toThrow("schema");
    });
});

describe("Markdown", () => {
    test("the shown branch is written with its reasoning, calls and results", () => {
        expect(toMarkdown(TALK)).toBe(
            [
                "# Time",
                "## System prompt",
                "Answer briefly.",
                "## User",
                "What time is it?",
                "## Assistant",
                "### Reasoning",
                "> A clock\n>\n> is needed.",
                "I look.",
                "### Call of now",
                '```json\n{"zone":"UTC"}\n```',
                "## Result of now",
                "```\n12:00\n```",
                "## Assistant",
                "Noon.\n",
            ].join("\n\n"),
        );
    });

    test("other branches are left out", () => {
        const other = message({ id: "b", role: "assistant", parent: "r", text: "Midnight." });
        const text = toMarkdown({
            ...TALK,
            messages: { ...TALK.messages, b: other },
        });
        expect(text).not.toContain("Midnight");
    });

    test("a result cannot end its own code block", () => {
        const text = toMarkdown(
            conversation([message({ id: "r", role: "tool", text: "```\n# Not a title\n````" })]),
        );
        expect(text).toContain("`````\n```\n# Not a title\n````\n`````");
    });

    test("a title has one line", () => {
        expect(toMarkdown(conversation([], { title: "One\n# Two" }))).toMatch(/^# One # Two\n/);
    });

    test("parents in a circle end", () => {
        const circle = message({ id: "a", role: "user", parent: "a", text: "x" });
        expect(toMarkdown(conversation([circle])).length).toBeGreaterThan(0);
    });
});

test("a file that is read twice adds nothing", () => {
    const present = [conversation([QUESTION])];
    const again = fromJson(toJson(present));
    expect(withoutKnown(again, present)).toEqual([]);
    const longer = [conversation([QUESTION, message({ id: "a", role: "assistant", parent: "q" })])];
    expect(withoutKnown(fromJson(toJson(longer)), present)).toHaveLength(1);
});
