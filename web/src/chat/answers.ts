/**
 * The answers that run. Each conversation has at most one; those of several conversations run at
 * once over the one connection. What arrives is shown once per frame of the screen, and kept in the
 * conversation once per second.
 */

import { batch, signal, type ReadonlySignal, type Signal } from "@preact/signals";

import { RequestError, type Client, type ConnectionState, type RunningRequest } from "../client";
import type { EndFrame, Logprob, Stats, ToolCallFrame } from "../protocol";
import { awaitsResults, completeCalls, mockResults } from "./calls";
import { requestFor } from "./request";
import { sumStats } from "./stats-sum";
import type { Store } from "./store";
import { append, branch, newMessage, replace, titleFrom } from "./tree";
import type { ChatMessage, ChatToolCall, Conversation, Outcome } from "./types";

/** What an answer without text waits for. */
export type Phase =
    | { kind: "connection" | "model" | "sent" | "answering" }
    | { kind: "queued"; position: number }
    | { kind: "prefill"; processed: number; total: number };

export interface RunningAnswer {
    /** The answer as it is now. */
    readonly message: ReadonlySignal<ChatMessage>;
    readonly phase: ReadonlySignal<Phase>;
    stop(): void;
}

export class Answers {
    readonly #running = signal<ReadonlyMap<string, Answer>>(new Map());
    /** How many answers in a row followed results that nobody typed, by conversation. */
    readonly #automatic = new Map<string, number>();

    constructor(
        private readonly client: Pick<Client, "infer">,
        private readonly connection: ReadonlySignal<ConnectionState>,
        private readonly store: Store,
    ) {
        store.isRunning = (id) => this.#running.peek().has(id);
        store.onRemoved = (id) => this.stop(id);
    }

    /** The answer that runs in a conversation. */
    of(conversation: string): RunningAnswer | undefined {
        return this.#running.value.get(conversation);
    }

    /** Sends what the user wrote, below the message that is shown last. */
    send(id: string, text: string): void {
        this.#automatic.delete(id);
        const conversation = this.store.get(id);
        if (conversation) this.#ask(id, newMessage(conversation.leaf, "user", text));
    }

    /** Sends `text` instead of the user's message `message`, as a branch beside it. */
    resend(id: string, message: ChatMessage, text: string): void {
        this.#automatic.delete(id);
        this.#ask(id, newMessage(message.parent, "user", text));
    }

    /** Answers again, as a branch beside `message`. */
    retry(id: string, message: ChatMessage): void {
        this.#start(id, newMessage(message.parent, "assistant", ""));
    }

    /** Continues an answer that was cut. */
    continue(id: string, message: ChatMessage): void {
        const { outcome, ...rest } = message;
        const before = outcome?.kind === "ended" ? outcome.end.stats : null;
        // A character that was cut at the end of the answer.
        this.#start(id, { ...rest, text: message.text.replace(/\uFFFD$/, "") }, before);
    }

    /** Gives the results of the complete calls in `message`, in their order, and lets the model go on. */
    giveResults(id: string, message: ChatMessage, results: string[]): void {
        this.#automatic.delete(id);
        this.#addResults(id, message, results);
    }

    stop(id: string): void {
        this.of(id)?.stop();
    }

    /** Keeps in the conversations what has arrived until now. */
    keepAll(): void {
        for (const answer of this.#running.peek().values()) answer.keep();
    }

    #ask(id: string, question: ChatMessage): void {
        if (this.#running.peek().has(id)) return;
        this.store.update(id, (before) => ({
            ...append(before, question),
            title: before.title || titleFrom(question.text),
            draft: "",
        }));
        this.#start(id, newMessage(question.id, "assistant", ""));
    }

    /** `before`: the statistics of the part that the answer continues. */
    #start(id: string, message: ChatMessage, before: Stats | null = null): void {
        const conversation = this.store.get(id);
        if (!conversation || this.#running.peek().has(id)) return;
        this.store.update(id, (before) => append(before, message));
        void this.store.save(id);
        const answer = new Answer(message, before, (current) =>
            this.store.update(id, (before) => replace(before, current)),
        );
        this.#running.value = new Map(this.#running.value).set(id, answer);
        void answer.run(this.client, this.connection, requestOf(conversation, message)).then(() => {
            const running = new Map(this.#running.value);
            running.delete(id);
            batch(() => {
                answer.keep();
                this.#running.value = running;
            });
            void this.store.save(id);
            this.#answerCalls(id, answer.message.value);
        });
    }

    /** Gives the results of an answer's calls if all of them are set beforehand. */
    #answerCalls(id: string, message: ChatMessage): void {
        const conversation = this.store.get(id);
        const rounds = this.#automatic.get(id) ?? 0;
        if (!conversation || !awaitsResults(message) || rounds >= MAX_AUTOMATIC) return;
        const results = mockResults(conversation, message);
        if (!results.every((result) => result !== null)) return;
        this.#automatic.set(id, rounds + 1);
        this.#addResults(id, message, results);
    }

    #addResults(id: string, message: ChatMessage, results: string[]): void {
        if (this.#running.peek().has(id)) return;
        let parent = message.id;
        const added = completeCalls(message).map((call, index): ChatMessage => {
            const result = newMessage(parent, "tool", results[index] ?? "");
            parent = result.id;
            return { ...result, callId: call.id, toolName: call.name };
        });
        this.store.update(id, (before) => append(before, ...added));
        this.#start(id, newMessage(parent, "assistant", ""));
    }
}

function requestOf(conversation: Conversation, message: ChatMessage) {
    const before = branch(conversation, message.parent);
    const continues = message.text !== "";
    return requestFor(conversation.settings, continues ? [...before, message] : before);
}

/** One answer, from the moment it is asked for until its end. */
class Answer implements RunningAnswer {
    readonly message: Signal<ChatMessage>;
    readonly phase = signal<Phase>({ kind: "connection" });
    /** What has arrived, ahead of `message`. */
    #next: ChatMessage;
    #isScheduled = false;
    #lastKept = 0;
    #thinkingSince: number | null = null;
    #request: RunningRequest | null = null;
    #cancel = new AbortController();

    constructor(
        message: ChatMessage,
        private readonly before: Stats | null,
        private readonly onKeep: (message: ChatMessage) => void,
    ) {
        this.#next = message;
        this.message = signal(message);
    }

    async run(
        client: Pick<Client, "infer">,
        connection: ReadonlySignal<ConnectionState>,
        request: ReturnType<typeof requestFor>,
    ): Promise<void> {
        let outcome: Outcome | null = null;
        while (outcome === null) {
            this.phase.value = { kind: "connection" };
            if (!(await this.#untilOpen(connection))) {
                outcome = STOPPED;
                break;
            }
            this.phase.value = { kind: "sent" };
            outcome = await this.#send(client, request);
        }
        this.#next = { ...this.#next, outcome };
        this.#endThinking();
        this.#show();
    }

    stop(): void {
        this.#cancel.abort();
        this.#request?.abort();
    }

    keep(): void {
        this.#show();
        this.#lastKept = Date.now();
        this.onKeep(this.message.value);
    }

    /** Sends the request once. `null` means that it is to be sent again. */
    async #send(
        client: Pick<Client, "infer">,
        request: ReturnType<typeof requestFor>,
    ): Promise<Outcome | null> {
        this.#request = client.infer(request, {
            onText: (text, logprobs) => this.#text(text, logprobs),
            onReasoning: (text, logprobs) => this.#reasoning(text, logprobs),
            onToolCall: (frame) => this.#call(frame),
            onQueued: (position) => (this.phase.value = { kind: "queued", position }),
            onProgress: (processed, total) => {
                if (this.phase.value.kind !== "answering") {
                    this.phase.value = { kind: "prefill", processed, total };
                }
            },
        });
        try {
            return this.#ended(await this.#request.done, request);
        } catch (error) {
            if (!(error instanceof RequestError)) throw error;
            if (error.code === "disconnected") return { kind: "interrupted" };
            if (error.code !== "loading") {
                return { kind: "failed", code: error.code, message: error.message };
            }
            this.phase.value = { kind: "model" };
            const isOver = await this.#sleep(error.retryAfterMs ?? LOADING_MS);
            return isOver ? null : STOPPED;
        } finally {
            this.#request = null;
        }
    }

    #ended(end: EndFrame, request: ReturnType<typeof requestFor>): Outcome {
        const { finish_reason, warnings, stats } = end;
        const limit = end.limit ?? limitOf(end, request);
        return {
            kind: "ended",
            end: {
                finish_reason,
                stats: this.before ? sumStats(this.before, stats) : stats,
                ...(limit !== undefined && { limit }),
                ...(warnings !== undefined && { warnings }),
                ...(finish_reason === "abort" &&
                    !this.#cancel.signal.aborted && { isStoppedElsewhere: true }),
            },
        };
    }

    /** Waits for a connection. False if the answer was stopped before. */
    #untilOpen(connection: ReadonlySignal<ConnectionState>): Promise<boolean> {
        return new Promise((resolve) => {
            const { signal } = this.#cancel;
            if (signal.aborted) return resolve(false);
            const unsubscribe = connection.subscribe((state) => {
                if (state.kind !== "open") return;
                // The first call comes before `unsubscribe` is there.
                queueMicrotask(() => unsubscribe());
                resolve(true);
            });
            signal.addEventListener("abort", () => {
                unsubscribe();
                resolve(false);
            });
        });
    }

    /** Waits. False if the answer was stopped meanwhile. */
    #sleep(milliseconds: number): Promise<boolean> {
        return new Promise((resolve) => {
            const timer = setTimeout(() => resolve(true), milliseconds);
            this.#cancel.signal.addEventListener("abort", () => {
                clearTimeout(timer);
                resolve(false);
            });
        });
    }

    #text(text: string, logprobs: Logprob[]): void {
        this.#endThinking();
        this.#take({ text: this.#next.text + text }, logprobs);
    }

    #reasoning(text: string, logprobs: Logprob[]): void {
        this.#thinkingSince ??= performance.now();
        this.#take({ reasoning: (this.#next.reasoning ?? "") + text }, logprobs);
    }

    #endThinking(): void {
        if (this.#thinkingSince === null) return;
        const before = this.#next.reasoningMs ?? 0;
        const reasoningMs = before + Math.round(performance.now() - this.#thinkingSince);
        this.#next = { ...this.#next, reasoningMs };
        this.#thinkingSince = null;
    }

    #call(frame: ToolCallFrame): void {
        this.#endThinking();
        const calls = [...(this.#next.calls ?? [])];
        const before: ChatToolCall = calls[frame.index] ?? {
            id: frame.call_id ?? "",
            name: frame.name ?? "",
            arguments: "",
        };
        calls[frame.index] = { ...before, arguments: before.arguments + frame.arguments };
        const callsAt = this.#next.callsAt ?? this.#next.text.length;
        this.#take({ calls, callsAt }, []);
    }

    #take(change: Partial<ChatMessage>, logprobs: Logprob[]): void {
        this.#next = { ...this.#next, ...change };
        if (logprobs.length > 0) this.#addLogprobs(logprobs);
        if (this.#isScheduled) return;
        this.#isScheduled = true;
        // No frames come while the page is hidden; then all is shown at the end.
        requestAnimationFrame(() => {
            this.#show();
            if (Date.now() - this.#lastKept >= KEEP_MS) this.keep();
        });
    }

    #addLogprobs(added: Logprob[]): void {
        const logprobs = this.#next.logprobs ?? [];
        if (logprobs.length >= MAX_LOGPROBS) return;
        this.#next = { ...this.#next, logprobs: [...logprobs, ...added].slice(0, MAX_LOGPROBS) };
    }

    #show(): void {
        this.#isScheduled = false;
        if (this.message.value === this.#next) return;
        batch(() => {
            this.message.value = this.#next;
            if (this.#next.outcome === undefined && this.phase.value.kind !== "answering") {
                this.phase.value = { kind: "answering" };
            }
        });
    }
}

/** Which limit cut the answer to a raw text: the server does not say. */
function limitOf(
    { finish_reason, stats }: EndFrame,
    { params }: ReturnType<typeof requestFor>,
): EndFrame["limit"] {
    const most = params?.max_tokens ?? -1;
    if (finish_reason !== "length" || most < 0) return undefined;
    return stats.tokens >= most ? "max_tokens" : "context";
}

/** Stopped before anything was sent. */
const STOPPED: Outcome = { kind: "interrupted" };

/** How often the text of a running answer is kept. */
const KEEP_MS = 1000;

/** How long to wait for a model that loads, unless the server says. */
const LOADING_MS = 1000;

/** How often tools are answered in a row without the user: a model may call them without end. */
export const MAX_AUTOMATIC = 8;

/** Of how many tokens an answer has probabilities; each has its rivals. */
export const MAX_LOGPROBS = 20_000;
