/** Asks the server for the list of requests, again and again while somebody looks at it. */

import { useSignal, type ReadonlySignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { ApiError, get } from "../api";
import { connection, key } from "../session";
import type { RequestList } from "./types";

/** Why there is no list, or none that is new. */
export type ListProblem =
    /** The server does not know the route. */
    | { kind: "older" }
    /** The key does not allow it. */
    | { kind: "forbidden"; reason: string }
    | { kind: "failed"; reason: string };

export interface ListState {
    /** The latest list; stays when the connection is lost. */
    list: RequestList | null;
    problem: ListProblem | null;
    /** Milliseconds of the epoch at which `list` came. */
    at: number;
}

/** The list, and a function that asks for it at once. */
export function useRequestList(): { state: ReadonlySignal<ListState>; refresh: () => void } {
    const state = useSignal<ListState>({ list: null, problem: null, at: 0 });
    const wish = useSignal(0);
    const isOpen = connection.value.kind === "open";
    useEffect(() => {
        if (!isOpen) return;
        const poll = new Poll((change) => (state.value = { ...state.value, ...change }));
        return () => poll.stop();
    }, [isOpen, key.value, wish.value]);
    return { state, refresh: () => (wish.value += 1) };
}

/** Asks once a second while the tab is visible, one question at a time, until it is stopped. */
class Poll {
    #request = new AbortController();
    #timer: ReturnType<typeof setTimeout> | undefined;
    #isAsking = false;
    #report: (change: Partial<ListState>) => void;

    constructor(report: (change: Partial<ListState>) => void) {
        this.#report = report;
        document.addEventListener("visibilitychange", this.#ask);
        void this.#ask();
    }

    stop(): void {
        document.removeEventListener("visibilitychange", this.#ask);
        clearTimeout(this.#timer);
        this.#request.abort();
    }

    #ask = async (): Promise<void> => {
        clearTimeout(this.#timer);
        if (this.#isAsking || document.visibilityState === "hidden") return;
        this.#isAsking = true;
        let wait: number | null = POLL_MS;
        try {
            const list = await get<RequestList>("requests", this.#request.signal);
            this.#report({ list, problem: null, at: Date.now() });
        } catch (error) {
            if (this.#request.signal.aborted) return;
            const problem = problemOf(error);
            this.#report({ problem });
            // Only another server or another key would answer otherwise.
            wait = problem.kind === "failed" ? RETRY_MS : null;
        }
        if (this.#request.signal.aborted || wait === null) return;
        this.#isAsking = false;
        this.#timer = setTimeout(this.#ask, wait);
    };
}

function problemOf(error: unknown): ListProblem {
    const reason = error instanceof Error ? error.message : String(error);
    if (!(error instanceof ApiError)) return { kind: "failed", reason };
    switch (error.status) {
        case 404:
            return { kind: "older" };
        case 401:
        case 403:
            return { kind: "forbidden", reason };
        default:
            return { kind: "failed", reason };
    }
}

const POLL_MS = 1000;

/** After a failure the server is asked less often. */
const RETRY_MS = 5000;
