/** The statistics of an answer that was continued. */

import type { Stats } from "../protocol";

/** The statistics of an answer whose first part has `before`, and its continuation `after`. */
export function sumStats(before: Stats, after: Stats): Stats {
    const tokens = before.tokens + after.tokens;
    const seconds = writingTime(before) + writingTime(after);
    // The first token of each part is not in its time.
    const timed = timedTokens(before) + timedTokens(after);
    return {
        // The prompt is that of the first part: that of the second one contains the answer.
        prompt_tokens: before.prompt_tokens,
        cached_tokens: before.cached_tokens,
        prompt_ms: before.prompt_ms,
        prompt_tps: before.prompt_tps,
        ttft_ms: before.ttft_ms ?? after.ttft_ms,
        queue_ms: before.queue_ms + after.queue_ms,
        total_ms: before.total_ms + after.total_ms,
        tokens,
        tps: seconds > 0 ? timed / seconds : null,
        drafted: before.drafted + after.drafted,
        accepted: before.accepted + after.accepted,
    };
}

function writingTime(stats: Stats): number {
    return stats.tps ? timedTokens(stats) / stats.tps : 0;
}

function timedTokens({ tokens, tps }: Stats): number {
    return tps ? Math.max(0, tokens - 1) : 0;
}
