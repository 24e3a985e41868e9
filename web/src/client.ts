/**
 * A client of the protocol for browsers, and for every runtime with a global `WebSocket`. It knows
 * nothing of the page.
 *
 * ```ts
 * const client = new Client({ url: "ws://127.0.0.1:3000/" });
 * client.on("state", async ({ kind }) => {
 *     if (kind !== "open") return;
 *     const answer = client.infer({ prompt: "Once upon" }, { onText: (text) => console.log(text) });
 *     const end = await answer.done;
 * });
 * ```
 */

import {
    SUBPROTOCOL,
    type EndFrame,
    type ErrorFrame,
    type Hello,
    type InferRequest,
    type Logprob,
    type Metrics,
    type Right,
    type ServerFrame,
    type ToolCallFrame,
} from "./protocol";

/** Where a client is with its connection. */
export type ConnectionState =
    /** It opens a connection. */
    | { kind: "connecting"; attempt: number }
    /** The server has said hello, and accepts requests. */
    | { kind: "open" }
    /** The server wants a key: none was given, or the one that was given is wrong. */
    | { kind: "key-needed"; reason: string | null }
    /**
     * The connection is lost: closed with `code`, or `null` if the server was silent. Another one is
     * opened at `retryAt`, in milliseconds of the epoch.
     */
    | { kind: "lost"; code: number | null; reason: string; retryAt: number }
    /** `close` was called. */
    | { kind: "closed" };

/** Why a request has no end: an `error` of the server, or a lost connection. */
export class RequestError extends Error {
    constructor(
        /** The server's code, or `disconnected`. */
        readonly code: string,
        message: string,
        /** When it makes sense to try again, in milliseconds from now. */
        readonly retryAfterMs: number | null = null,
    ) {
        super(message);
        this.name = "RequestError";
    }
}

/** What a request tells while it runs. All are optional. */
export interface RequestListener {
    onText?(text: string, logprobs: Logprob[]): void;
    onReasoning?(text: string, logprobs: Logprob[]): void;
    onToolCall?(call: ToolCallFrame): void;
    onQueued?(position: number): void;
    onProgress?(processed: number, total: number): void;
}

/** A request that was sent. */
export interface RunningRequest {
    readonly id: string;
    /** The end of the answer; rejects with a {@link RequestError}. */
    readonly done: Promise<EndFrame>;
    /** Asks the server to stop. `done` then resolves with the finish reason `abort`. */
    abort(): void;
}

export interface ClientOptions {
    url: string;
    key?: string | null;
    /** Stands for the global `WebSocket`, such as in tests. */
    WebSocket?: typeof WebSocket;
    /** Milliseconds until the first new attempt after a loss; each further one waits twice as long. */
    retryMs?: number;
}

/** What a client tells about its connection. */
export interface ClientEvents {
    state: ConnectionState;
    hello: Hello;
    rights: Right[];
    metrics: Metrics;
    /** An error that belongs to no request. */
    error: ErrorFrame;
}

export class Client {
    #options: ClientOptions;
    #socket: WebSocket | null = null;
    #state: ConnectionState = { kind: "connecting", attempt: 1 };
    #requests = new Map<string, Pending>();
    #nextId = 1;
    #attempt = 1;
    #timer: ReturnType<typeof setTimeout> | undefined;
    #lastFrame = 0;
    #pulse: ReturnType<typeof setInterval> | undefined;
    #listeners: { [E in keyof ClientEvents]?: Set<(event: ClientEvents[E]) => void> } = {};

    /** Opens a connection, and keeps one open until {@link close}. */
    constructor(options: ClientOptions) {
        this.#options = options;
        this.#connect();
    }

    get state(): ConnectionState {
        return this.#state;
    }

    /** How many requests run on the connection. */
    get running(): number {
        return this.#requests.size;
    }

    /** Calls `listener` for each event `name`. Returns a function that ends that. */
    on<E extends keyof ClientEvents>(
        name: E,
        listener: (event: ClientEvents[E]) => void,
    ): () => void {
        const listeners = (this.#listeners[name] ??= new Set() as never) as Set<typeof listener>;
        listeners.add(listener);
        return () => listeners.delete(listener);
    }

    /** Sends a request. Without an open connection it fails at once. */
    infer(request: InferRequest, listener: RequestListener = {}): RunningRequest {
        const id = `w${this.#nextId++}`;
        const done = new Promise<EndFrame>((resolve, reject) => {
            if (this.#state.kind !== "open") {
                reject(new RequestError("disconnected", "there is no connection to the server"));
                return;
            }
            this.#requests.set(id, { listener, resolve, reject });
            this.#send({ op: "infer", id, ...request });
        });
        return { id, done, abort: () => this.#abort(id) };
    }

    /** Uses `key` from now on. */
    setKey(key: string | null): void {
        this.#options = { ...this.#options, key };
        this.reconnect();
    }

    /** Opens a new connection now, whatever there is. */
    reconnect(): void {
        if (this.#state.kind === "closed") return;
        this.#attempt = 1;
        this.#drop("the connection was replaced");
        this.#connect();
    }

    /** Closes the connection for good. Requests that run are lost. */
    close(): void {
        this.#drop("the client was closed");
        this.#become({ kind: "closed" });
    }

    #connect(): void {
        this.#become({ kind: "connecting", attempt: this.#attempt });
        const Socket = this.#options.WebSocket ?? WebSocket;
        const socket = new Socket(this.#options.url, [SUBPROTOCOL]);
        this.#socket = socket;
        this.#lastFrame = Date.now();
        this.#pulse = setInterval(() => this.#checkPulse(), PULSE_MS);
        socket.onmessage = (event) => {
            if (this.#socket === socket) this.#receive(String(event.data));
        };
        socket.onclose = (event) => {
            if (this.#socket === socket) this.#lost(event);
        };
    }

    /** A connection on which nothing comes is dead: the server sends metrics, and answers pings. */
    #checkPulse(): void {
        const silence = Date.now() - this.#lastFrame;
        if (silence > DEAD_MS) {
            this.#drop("the server is silent");
            this.#retry(null, "the server is silent");
        } else if (silence >= PULSE_MS && this.#socket?.readyState === 1) {
            this.#send({ op: "ping" });
        }
    }

    #receive(data: string): void {
        this.#lastFrame = Date.now();
        const frame = JSON.parse(data) as ServerFrame;
        switch (frame.op) {
            case "hello":
                return this.#hello(frame);
            case "authenticated":
                this.#emit("rights", frame.rights);
                return this.#open();
            case "metrics":
                return this.#emit("metrics", frame);
            case "token":
                return this.#requests
                    .get(frame.id)
                    ?.listener.onText?.(frame.content, frame.logprobs ?? []);
            case "reasoning":
                return this.#requests
                    .get(frame.id)
                    ?.listener.onReasoning?.(frame.content, frame.logprobs ?? []);
            case "tool_call":
                return this.#requests.get(frame.id)?.listener.onToolCall?.(frame);
            case "queued":
                return this.#requests.get(frame.id)?.listener.onQueued?.(frame.position);
            case "progress":
                return this.#requests
                    .get(frame.id)
                    ?.listener.onProgress?.(frame.processed, frame.total);
            case "end":
                return this.#take(frame.id)?.resolve(frame);
            case "error":
                return this.#error(frame);
        }
    }

    #hello(hello: Hello): void {
        this.#emit("hello", hello);
        if (hello.auth === "ok") return this.#open();
        const key = this.#options.key;
        if (key) this.#send({ op: "auth", token: key });
        else this.#become({ kind: "key-needed", reason: null });
    }

    #open(): void {
        this.#attempt = 1;
        this.#become({ kind: "open" });
    }

    #error(frame: ErrorFrame): void {
        const pending = frame.id === undefined ? undefined : this.#take(frame.id);
        if (pending) {
            const after = frame.retry_after_ms ?? null;
            return pending.reject(new RequestError(frame.code, frame.message, after));
        }
        if (frame.code === "unauthorized") {
            this.#become({ kind: "key-needed", reason: frame.message });
        }
        this.#emit("error", frame);
    }

    #lost(event: CloseEvent): void {
        const reason = event.reason || `the connection was closed (${event.code})`;
        const needsKey = this.#state.kind === "key-needed" || event.code === CLOSED_FOR_KEY;
        const before = this.#state;
        this.#drop(reason);
        if (needsKey) {
            this.#become(before.kind === "key-needed" ? before : { kind: "key-needed", reason });
        } else {
            this.#retry(event.code, reason);
        }
    }

    #retry(code: number | null, reason: string): void {
        const first = this.#options.retryMs ?? RETRY_MS;
        const wait = Math.min(first * 2 ** (this.#attempt - 1), MAX_RETRY_MS);
        this.#attempt += 1;
        this.#timer = setTimeout(() => this.#connect(), wait);
        this.#become({ kind: "lost", code, reason, retryAt: Date.now() + wait });
    }

    /** Leaves the connection, and ends all requests. */
    #drop(reason: string): void {
        clearTimeout(this.#timer);
        clearInterval(this.#pulse);
        const socket = this.#socket;
        this.#socket = null;
        socket?.close();
        const requests = [...this.#requests.values()];
        this.#requests.clear();
        for (const { reject } of requests) reject(new RequestError("disconnected", reason));
    }

    #abort(id: string): void {
        if (this.#requests.has(id)) this.#send({ op: "abort", id });
    }

    #take(id: string): Pending | undefined {
        const pending = this.#requests.get(id);
        this.#requests.delete(id);
        return pending;
    }

    #send(frame: object): void {
        this.#socket?.send(JSON.stringify(frame));
    }

    #become(state: ConnectionState): void {
        this.#state = state;
        this.#emit("state", state);
    }

    #emit<E extends keyof ClientEvents>(name: E, event: ClientEvents[E]): void {
        this.#listeners[name]?.forEach((listener) => listener(event));
    }
}

interface Pending {
    listener: RequestListener;
    resolve(end: EndFrame): void;
    reject(error: RequestError): void;
}

/** The close code for a key that was revoked or changed. */
const CLOSED_FOR_KEY = 4401;

const RETRY_MS = 500;
const MAX_RETRY_MS = 8000;

/** After this long without a frame the client sends a ping. */
const PULSE_MS = 5000;

/** After this long without a frame the connection counts as lost. */
const DEAD_MS = 15000;
