/** A server in the test itself, for answers that no model gives: huge, fast, or many at once. */

import type { Page } from "@playwright/test";

/** Sends the next text of an answer. */
export type Say = (text: string) => void;

/** Speaks the protocol instead of the server of `page`. `answer` says the text of each answer. */
export async function fakeServer(
    page: Page,
    answer: (question: string, say: Say) => Promise<void>,
): Promise<void> {
    await page.routeWebSocket(/./, (socket) => {
        const send = (frame: object) => socket.send(JSON.stringify(frame));
        send(HELLO);
        socket.onMessage((data) => {
            const frame = JSON.parse(String(data)) as Frame;
            if (frame.op === "ping") send({ op: "pong" });
            if (frame.op !== "infer" || frame.id === undefined) return;
            const { id } = frame;
            const question = frame.messages?.at(-1)?.content ?? "";
            let tokens = 0;
            void answer(question, (content) => {
                tokens += 1;
                send({ op: "token", id, content });
            }).then(() => send(endOf(id, tokens)));
        });
    });
}

/** Lets what has been sent go out. */
export function breath(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
}

/** Calls `act` `times` times, as a model that makes `perSecond` tokens a second. */
export function paced(times: number, perSecond: number, act: () => void): Promise<void> {
    return new Promise((resolve) => {
        let left = times;
        const timer = setInterval(() => {
            act();
            left -= 1;
            if (left > 0) return;
            clearInterval(timer);
            resolve();
        }, 1000 / perSecond);
    });
}

interface Frame {
    op: string;
    id?: string;
    messages?: { content: string }[];
}

function endOf(id: string, tokens: number): object {
    const stats = {
        ttft_ms: 1,
        total_ms: 100,
        tokens,
        tps: 50,
        prompt_tokens: 10,
        cached_tokens: 0,
        queue_ms: 0,
        prompt_ms: 1,
        prompt_tps: 1000,
        drafted: 0,
        accepted: 0,
    };
    return { op: "end", id, finish_reason: "stop", stats };
}

const HELLO = {
    op: "hello",
    protocol: 1,
    server: "inference-core 0.0.0",
    build: { version: "0.0.0", commit: "000000000000", llama_cpp: "0.0.0", cpu_flags: "" },
    model: {
        name: "fake",
        arch: "llama",
        params: 1,
        size_bytes: 1,
        n_ctx_train: 100_000,
        chat: true,
        demo: false,
    },
    ctx_size: 100_000,
    parallel: 8,
    backend: "cpu",
    gpu_layers: 0,
    n_layers: 1,
    auth: "ok",
};
