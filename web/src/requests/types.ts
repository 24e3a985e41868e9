/** The list of requests, as the daemon's route `requests` sends it (docs/PROTOCOL.md). */

/** What all requests have. */
interface Request {
    id: string;
    /** The interface that it came through. */
    surface: string;
    /** The client's address. */
    client: string;
    /** The name of its API key. */
    key: string | null;
    model: string;
    queued_ms: number;
    cached_tokens: number | null;
    prompt_tokens: number | null;
    completion_tokens: number;
}

export interface RunningRequest extends Request {
    state: "queued" | "prefill" | "decode";
    age_ms: number;
    can_abort: boolean;
}

export interface FinishedRequest extends Request {
    finish_reason: "stop" | "max_tokens" | "context" | "aborted" | "error";
    /** The code of the error that ended it. */
    error: string | null;
    /** Unix seconds. */
    ended_at: number;
    ttft_ms: number | null;
    duration_ms: number;
    tokens_per_second: number | null;
}

/** Newest first in both. */
export interface RequestList {
    running: RunningRequest[];
    finished: FinishedRequest[];
}
