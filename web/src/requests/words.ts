/** What the values of a request mean, in words. */

import { t, type TextKey } from "../i18n";
import type { FinishedRequest, RunningRequest } from "./types";

/** The interface that a request came through. */
export function surfaceWords(surface: string): string {
    const key = SURFACES[surface];
    return key ? t(key) : surface;
}

export function stateWords(state: RunningRequest["state"]): string {
    return t(`requests.state.${state}`);
}

/** How a request ended. */
export function outcomeWords({ finish_reason: reason, error }: FinishedRequest): string {
    if (reason !== "error") return t(OUTCOMES[reason] ?? "requests.outcome.unknown");
    const key = error === null ? undefined : ERRORS[error];
    if (key) return t(key);
    return t("requests.outcome.error", { code: error ?? t("common.unknown") });
}

const SURFACES: Record<string, TextKey> = {
    native: "requests.surface.native",
    chat: "requests.surface.chat",
    completions: "requests.surface.completions",
    responses: "requests.surface.responses",
    messages: "requests.surface.messages",
};

const OUTCOMES: Record<string, TextKey> = {
    stop: "requests.outcome.stop",
    max_tokens: "requests.outcome.max-tokens",
    context: "requests.outcome.context",
    aborted: "requests.outcome.aborted",
};

const ERRORS: Record<string, TextKey> = {
    busy: "requests.error.busy",
    context_overflow: "requests.error.context-overflow",
    engine_failed: "requests.error.engine-failed",
    engine_stalled: "requests.error.engine-stalled",
    forbidden: "requests.error.forbidden",
    invalid_params: "requests.error.invalid-params",
    loading: "requests.error.loading",
    rate_limited: "requests.error.rate-limited",
    shutting_down: "requests.error.shutting-down",
    slow_client: "requests.error.slow-client",
};
