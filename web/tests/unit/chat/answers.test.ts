import { signal, type Signal } from "@preact/signals";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { Answers, MAX_AUTOMATIC } from "../../../src/chat/answers";
import { awaitsResults, takesResults } from "../../../src/chat/calls";
import { MemoryDatabase } from "../../../src/chat/database";
import { Rescue } from "../../../src/chat/rescue";
import { Store } from "../../../src/chat/store";
import { branch } from "../../../src/chat/tree";
import type { ChatMessage } from "../../../src/chat/types";
import { RequestError, type ConnectionState, type RequestListener } from "../../../src/client";
import type { EndFrame, InferRequest } from "../../../src/protocol";

/** A request that the test answers. */
interface Sent {
    request: InferRequest;
    listener: RequestListener;
    end(reason?: EndFrame["finish_reason"]): void;
    fail(code: string, retryAfterMs?: number): void;
    aborted: boolean;
}

const STATS: EndFrame["stats"] = {
    ttft_ms: 1,
    total_ms: 2,
    tokens: 3,
    tps: 4,
    prompt_tokens: 5,
    cached_tokens: 0,
    queue_ms: 0,
    prompt_ms: 1,
    prompt_tps: 5,
    drafted: 0,
    accepted: 0,
};

let sent: Sent[];
let connection: Signal<ConnectionState>;
let store: Store;
let answers: Answers;
let id: string;

beforeEach(async () => {
    sent = [];
    connection = signal<ConnectionState>({ kind: "open" });
    store = new Store(
        { onmessage: null, postMessage: () => {} },
        signal<string | null>(null),
        new Rescue(() => localStorage),
    );
    await store.start(new MemoryDatabase());
    id = store.current.value!.id;
    answers = new Answers({ infer }, connection, store);
});

function infer(request: InferRequest, listener: RequestListener = {}) {
    let entry: Sent | undefined;
    const done = new Promise<EndFrame>((resolve, reject) => {
        entry = {
            request,
            listener,
            aborted: false,
            end: (finish_reason = "stop") =>
                resolve({ op: "end", id: "x", finish_reason, stats: STATS }),
            fail: (code, retryAfterMs) =>
                reject(new RequestError(code, `because of ${code}`, retryAfterMs ?? null)),
        };
        sent.push(entry);
    });
    return { id: "x", done, abort: () => void (entry!.aborted = true) };
}

/** The request that was sent as number `index`. */
async function request(index: number): Promise<Sent> {
    return vi.waitFor(() => {
        const found = sent[index];
        if (!found) throw new Error("it was not sent");
        return found;
    });
}

/** The message that is shown last, once its answer has ended. */
async function ended(): Promise<ChatMessage> {
    return vi.waitFor(() => {
        if (answers.of(id)) throw new Error("it runs");
        return branch(store.get(id)!).at(-1)!;
    });
}

describe("an answer", () => {
    it("has the text, the thinking and the statistics that arrived", async () => {
        answers.send(id, "Hello");
        const { request: first, listener, end } = await request(0);
        expect(first.messages).toEqual([{ role: "user", content: "Hello" }]);
        listener.onReasoning?.("hm", []);
        listener.onText?.("He", []);
        listener.onText?.("llo", []);
        end();
        const message = await ended();
        expect(message).toMatchObject({ text: "Hello", reasoning: "hm" });
        expect(message.outcome).toMatchObject({ kind: "ended", end: { stats: STATS } });
        expect(store.get(id)?.title).toBe("Hello");
    });

    it("that is continued has the statistics of all its parts", async () => {
        answers.send(id, "Hello");
        const first = await request(0);
        first.listener.onText?.("One", []);
        first.end("length");
        answers.continue(id, await ended());
        (await request(1)).end();
        expect((await ended()).outcome).toMatchObject({
            end: { finish_reason: "stop", stats: { tokens: 6, total_ms: 4, tps: 4, ttft_ms: 1 } },
        });
    });

    it("to a raw text says which limit cut it", async () => {
        const cutAt = async (max_tokens: number, index: number) => {
            store.update(id, (before) => ({
                ...before,
                settings: { ...before.settings, mode: "raw", params: { max_tokens } },
            }));
            answers.send(id, "Once");
            (await request(index)).end("length");
            const { outcome } = await ended();
            return outcome?.kind === "ended" ? outcome.end.limit : null;
        };
        expect(await cutAt(3, 0)).toBe("max_tokens");
        expect(await cutAt(100, 1)).toBe("context");
        expect(await cutAt(-1, 2)).toBeUndefined();
    });

    it("says whether it was stopped here or elsewhere", async () => {
        answers.send(id, "Hello");
        const first = await request(0);
        answers.stop(id);
        first.end("abort");
        expect((await ended()).outcome).not.toHaveProperty("end.isStoppedElsewhere");
        answers.send(id, "Hello again");
        (await request(1)).end("abort");
        expect((await ended()).outcome).toHaveProperty("end.isStoppedElsewhere", true);
    });

    it("that is cut after a call can be given the result of it, and no result is waited for", async () => {
        answers.send(id, "The weather?");
        const { listener, end } = await request(0);
        listener.onText?.("I look.", []);
        for (const [index, text] of ["{}", '{"city": "Li'].entries()) {
            const call_id = `call${index}`;
            const frame = { op: "tool_call", id: "x", index, call_id, name: "weather" } as const;
            listener.onToolCall?.({ ...frame, arguments: text });
        }
        listener.onText?.("<tool_call>", []);
        end("length");
        const message = await ended();
        expect(message.text.slice(message.callsAt)).toBe("<tool_call>");
        expect([awaitsResults(message), takesResults(message)]).toEqual([false, true]);
        answers.giveResults(id, message, ["sunny"]);
        const { request: next } = await request(1);
        expect(next.messages?.map(({ role }) => role)).toEqual(["user", "assistant", "tool"]);
        expect(next.messages?.[1]?.tool_calls).toHaveLength(1);
    });

    it("waits for the connection", async () => {
        connection.value = { kind: "connecting", attempt: 1 };
        answers.send(id, "Hello");
        expect(answers.of(id)?.phase.value.kind).toBe("connection");
        expect(sent).toHaveLength(0);
        connection.value = { kind: "open" };
        (await request(0)).end();
        await ended();
    });

    it("waits for a model that loads", async () => {
        answers.send(id, "Hello");
        (await request(0)).fail("loading", 1);
        (await request(1)).end();
        expect((await ended()).outcome?.kind).toBe("ended");
    });

    it("shows its place in the queue and the progress of the prompt", async () => {
        answers.send(id, "Hello");
        const { listener, end } = await request(0);
        listener.onQueued?.(2);
        expect(answers.of(id)?.phase.value).toEqual({ kind: "queued", position: 2 });
        listener.onProgress?.(8, 20);
        expect(answers.of(id)?.phase.value).toEqual({ kind: "prefill", processed: 8, total: 20 });
        end();
        await ended();
    });

    it("keeps what had arrived when the connection is lost", async () => {
        answers.send(id, "Hello");
        const { listener, fail } = await request(0);
        listener.onText?.("He", []);
        fail("disconnected");
        expect(await ended()).toMatchObject({ text: "He", outcome: { kind: "interrupted" } });
    });

    it("says why it failed", async () => {
        answers.send(id, "Hello");
        (await request(0)).fail("busy");
        expect((await ended()).outcome).toEqual({
            kind: "failed",
            code: "busy",
            message: "because of busy",
        });
    });

    it("can be stopped before and after it was sent", async () => {
        connection.value = { kind: "connecting", attempt: 1 };
        answers.send(id, "Hello");
        answers.stop(id);
        expect((await ended()).outcome).toEqual({ kind: "interrupted" });
        connection.value = { kind: "open" };
        answers.send(id, "Again");
        const { end } = await request(0);
        answers.stop(id);
        expect(sent[0]?.aborted).toBe(true);
        end("abort");
        await ended();
    });

    it("runs beside those of other conversations, one in each", async () => {
        answers.send(id, "Hello");
        answers.send(id, "ignored while it runs");
        const other = store.create().id;
        answers.send(other, "Hi");
        await request(1);
        expect(sent).toHaveLength(2);
        sent.forEach(({ end }) => end());
        await ended();
    });
});

describe("branches", () => {
    beforeEach(async () => {
        answers.send(id, "Hello");
        const { listener, end } = await request(0);
        listener.onText?.("first\uFFFD", []);
        end("length");
        await ended();
    });

    it("come from asking again", async () => {
        const first = await ended();
        answers.retry(id, first);
        (await request(1)).end();
        const second = await ended();
        expect(second.parent).toBe(first.parent);
        expect(second.id).not.toBe(first.id);
    });

    it("come from another question", async () => {
        const question = branch(store.get(id)!)[0]!;
        answers.resend(id, question, "Other");
        expect((await request(1)).request.messages).toEqual([{ role: "user", content: "Other" }]);
        sent[1]!.end();
        await ended();
        expect(branch(store.get(id)!).map(({ text }) => text)).toEqual(["Other", ""]);
    });

    it("do not come from continuing an answer", async () => {
        answers.continue(id, await ended());
        const { request: second, listener, end } = await request(1);
        expect(second.continue_final_message).toBe(true);
        expect(second.messages?.at(-1)?.content).toBe("first");
        listener.onText?.(" more", []);
        end();
        expect((await ended()).text).toBe("first more");
        expect(branch(store.get(id)!)).toHaveLength(2);
    });
});

describe("calls of tools", () => {
    function useTool(result: string | null): void {
        const tool = { type: "function" as const, function: { name: "now" } };
        store.update(id, (before) => ({
            ...before,
            settings: { ...before.settings, tools: [{ tool, result }] },
        }));
    }

    async function call(index: number): Promise<void> {
        const { listener, end } = await request(index);
        const frame = { op: "tool_call", id: "x", index: 0 } as const;
        listener.onToolCall?.({ ...frame, call_id: "c1", name: "now", arguments: '{"a"' });
        listener.onToolCall?.({ ...frame, arguments: ":1}" });
        end("tool_calls");
    }

    it("are answered by the result that was set", async () => {
        useTool("12:00");
        answers.send(id, "Time?");
        await call(0);
        const { request: second, end } = await request(1);
        expect(second.messages?.at(-2)?.tool_calls?.[0]?.function.arguments).toBe('{"a":1}');
        expect(second.messages?.at(-1)).toMatchObject({ role: "tool", content: "12:00" });
        end();
        await ended();
    });

    it("wait for the result that the user gives", async () => {
        useTool(null);
        answers.send(id, "Time?");
        await call(0);
        answers.giveResults(id, await ended(), ["13:00"]);
        expect((await request(1)).request.messages?.at(-1)?.content).toBe("13:00");
        sent[1]!.end();
        await ended();
    });

    it("are not answered without end", async () => {
        useTool("12:00");
        answers.send(id, "Time?");
        for (let round = 0; round <= MAX_AUTOMATIC; round++) await call(round);
        expect((await ended()).calls).toHaveLength(1);
        expect(sent).toHaveLength(MAX_AUTOMATIC + 1);
    });
});
