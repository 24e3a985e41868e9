/** Rows of the list of requests. */

import type { FinishedRequest, RunningRequest } from "../../src/requests/types";

export function running(changes: Partial<RunningRequest> = {}): RunningRequest {
    return {
        id: "r-17",
        surface: "native",
        client: "127.0.0.1:52114",
        key: null,
        model: "demo",
        state: "decode",
        age_ms: 1234,
        queued_ms: 12,
        prompt_tokens: 120,
        cached_tokens: 80,
        completion_tokens: 17,
        can_abort: true,
        ...changes,
    };
}

export function finished(changes: Partial<FinishedRequest> = {}): FinishedRequest {
    return {
        id: "r-16",
        surface: "chat",
        client: "127.0.0.1:52110",
        key: "web",
        model: "demo",
        finish_reason: "stop",
        error: null,
        ended_at: 1_790_000_000.123,
        queued_ms: 1,
        ttft_ms: 30,
        duration_ms: 900,
        prompt_tokens: 100,
        cached_tokens: 0,
        completion_tokens: 50,
        tokens_per_second: 61.2,
        ...changes,
    };
}
