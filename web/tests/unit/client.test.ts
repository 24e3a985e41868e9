import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Client, RequestError, type ConnectionState } from "../../src/client";
import type { Hello } from "../../src/protocol";

/** A WebSocket of which the test plays the server. */
class FakeSocket {
    static opened: FakeSocket[] = [];
    readonly sent: Record<string, unknown>[] = [];
    readyState = 1;
    onmessage: ((event: { data: string }) => void) | null = null;
    onclose: ((event: { code: number; reason: string }) => void) | null = null;

    constructor(
        readonly url: string,
        readonly protocols: string[],
    ) {
        FakeSocket.opened.push(this);
    }

    send(text: string): void {
        this.sent.push(JSON.parse(text));
    }

    close(): void {
        this.readyState = 3;
    }

    says(frame: object): void {
        this.onmessage?.({ data: JSON.stringify(frame) });
    }

    closes(code: number, reason = ""): void {
        this.readyState = 3;
        this.onclose?.({ code, reason });
    }
}

const hello = { op: "hello", protocol: 1, auth: "ok" } as Hello;
const stats = { tokens: 1 };

function connect(key: string | null = null) {
    const client = new Client({
        url: "ws://localhost/",
        key,
        WebSocket: FakeSocket as unknown as typeof WebSocket,
    });
    const states: ConnectionState[] = [];
    client.on("state", (state) => states.push(state));
    return { client, states, socket: last() };
}

function last(): FakeSocket {
    return FakeSocket.opened.at(-1)!;
}

beforeEach(() => {
    vi.useFakeTimers();
    FakeSocket.opened = [];
});

afterEach(() => {
    vi.useRealTimers();
});

describe("a request", () => {
    it("gets its frames and its end, beside another one", async () => {
        const { client, socket } = connect();
        socket.says(hello);
        const texts: string[] = [];
        const first = client.infer({ prompt: "a" }, { onText: (text) => texts.push(`1:${text}`) });
        const second = client.infer({ prompt: "b" }, { onText: (text) => texts.push(`2:${text}`) });
        expect(socket.sent).toEqual([
            { op: "infer", id: first.id, prompt: "a" },
            { op: "infer", id: second.id, prompt: "b" },
        ]);
        socket.says({ op: "token", id: second.id, content: "y" });
        socket.says({ op: "token", id: first.id, content: "x" });
        socket.says({ op: "end", id: first.id, finish_reason: "stop", stats });
        expect(await first.done).toMatchObject({ finish_reason: "stop" });
        socket.says({ op: "token", id: first.id, content: "late" });
        expect(texts).toEqual(["2:y", "1:x"]);
    });

    it("fails with the code and the message of its error", async () => {
        const { client, socket } = connect();
        socket.says(hello);
        const { id, done } = client.infer({ prompt: "a" });
        socket.says({ op: "error", id, code: "busy", message: "full", retry_after_ms: 500 });
        await expect(done).rejects.toEqual(new RequestError("busy", "full", 500));
    });

    it("fails when the connection is lost, and without one at once", async () => {
        const { client, socket } = connect();
        socket.says(hello);
        const running = client.infer({ prompt: "a" });
        socket.closes(1001, "the server shuts down");
        await expect(running.done).rejects.toMatchObject({
            code: "disconnected",
            message: "the server shuts down",
        });
        await expect(client.infer({ prompt: "b" }).done).rejects.toMatchObject({
            code: "disconnected",
        });
    });

    it("is aborted by its id as long as it runs", async () => {
        const { client, socket } = connect();
        socket.says(hello);
        const { id, done, abort } = client.infer({ prompt: "a" });
        abort();
        socket.says({ op: "end", id, finish_reason: "abort", stats });
        await done;
        abort();
        expect(socket.sent.filter(({ op }) => op === "abort")).toEqual([{ op: "abort", id }]);
    });
});

describe("a lost connection", () => {
    it("is opened again after a wait that grows up to a limit", () => {
        const { states } = connect();
        const waits: number[] = [];
        for (let attempt = 0; attempt < 7; attempt += 1) {
            last().closes(1006);
            const state = states.at(-1)!;
            if (state.kind !== "lost") throw new Error(state.kind);
            waits.push(state.retryAt - Date.now());
            vi.advanceTimersByTime(waits.at(-1)!);
        }
        expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000]);
        expect(FakeSocket.opened).toHaveLength(8);
    });

    it("starts with the shortest wait after a connection that worked", () => {
        const { states } = connect();
        last().closes(1006);
        vi.advanceTimersByTime(500);
        last().says(hello);
        last().closes(1006);
        expect(states.at(-1)).toMatchObject({ retryAt: Date.now() + 500 });
    });

    it("is noticed by its silence, after a ping", () => {
        const { states, socket } = connect();
        socket.says(hello);
        vi.advanceTimersByTime(5000);
        expect(socket.sent).toEqual([{ op: "ping" }]);
        socket.says({ op: "pong" });
        vi.advanceTimersByTime(20000);
        expect(states.map(({ kind }) => kind)).toContain("lost");
    });

    it("is not opened again once the client is closed", () => {
        const { client, states, socket } = connect();
        client.close();
        socket.closes(1000);
        vi.advanceTimersByTime(60000);
        expect(FakeSocket.opened).toHaveLength(1);
        expect(states.at(-1)).toEqual({ kind: "closed" });
    });
});

describe("a server that needs a key", () => {
    const locked = { ...hello, auth: "required" };

    it("gets the key, and accepts requests once it says so", () => {
        const { client, states, socket } = connect("secret");
        const rights: string[][] = [];
        client.on("rights", (granted) => rights.push(granted));
        socket.says(locked);
        expect(socket.sent).toEqual([{ op: "auth", token: "secret" }]);
        expect(states.at(-1)?.kind).not.toBe("open");
        socket.says({ op: "authenticated", rights: ["infer"] });
        expect(states.at(-1)).toEqual({ kind: "open" });
        expect(rights).toEqual([["infer"]]);
    });

    it("waits for a key, also after it has closed the connection", () => {
        const { client, states, socket } = connect();
        socket.says(locked);
        socket.closes(1008, "no API key came");
        expect(states.at(-1)).toEqual({ kind: "key-needed", reason: null });
        vi.advanceTimersByTime(60000);
        expect(FakeSocket.opened).toHaveLength(1);
        client.setKey("secret");
        last().says(locked);
        expect(last().sent).toEqual([{ op: "auth", token: "secret" }]);
    });

    it("says why it refused a key", () => {
        const { states, socket } = connect("wrong");
        socket.says(locked);
        socket.says({ op: "error", code: "unauthorized", message: "there is no such API key" });
        expect(states.at(-1)).toEqual({ kind: "key-needed", reason: "there is no such API key" });
    });

    it("asks for another key when this one is revoked", () => {
        const { states, socket } = connect("secret");
        socket.says(locked);
        socket.says({ op: "authenticated", rights: ["infer"] });
        socket.closes(4401, "the API key was revoked");
        expect(states.at(-1)).toEqual({ kind: "key-needed", reason: "the API key was revoked" });
    });
});
