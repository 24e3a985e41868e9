/** How an answer came about: a line, and the details on demand. */

import { number, t } from "../i18n";
import type { Stats } from "../protocol";
import type { Outcome } from "./types";

type Ended = Extract<Outcome, { kind: "ended" }>["end"];

export function StatsLine({ end }: { end: Ended }) {
    return (
        <details class="stats">
            <summary>{summary(end).join(" · ")}</summary>
            <dl class="facts">
                {details(end.stats).map(([name, value]) => (
                    <div key={name}>
                        <dt>{name}</dt>
                        <dd>{value}</dd>
                    </div>
                ))}
            </dl>
        </details>
    );
}

function summary(end: Ended): string[] {
    const { stats } = end;
    return [
        finish(end),
        stats.tps !== null && rate(stats.tps),
        stats.ttft_ms !== null && t("chat.stats.first", { time: duration(stats.ttft_ms) }),
        t("chat.stats.tokens", { n: number(stats.tokens, 0) }),
        t("chat.stats.prompt", { n: number(stats.prompt_tokens, 0) }),
        stats.cached_tokens > 0 && t("chat.stats.cached", { n: number(stats.cached_tokens, 0) }),
        stats.drafted > 0 &&
            t("chat.stats.guessed", { accepted: stats.accepted, drafted: stats.drafted }),
    ].filter((text) => text !== false);
}

function details(stats: Stats): [string, string][] {
    const none = t("common.unknown");
    const tokens = (value: number) => number(value, 0);
    return [
        [t("chat.stats.total"), duration(stats.total_ms)],
        [t("chat.stats.queue"), duration(stats.queue_ms)],
        [t("chat.stats.prompt-time"), duration(stats.prompt_ms)],
        [t("chat.stats.prompt-tps"), stats.prompt_tps === null ? none : rate(stats.prompt_tps)],
        [t("chat.stats.ttft"), stats.ttft_ms === null ? none : duration(stats.ttft_ms)],
        [t("chat.stats.answer-tps"), stats.tps === null ? none : rate(stats.tps)],
        [t("chat.stats.prompt-tokens"), tokens(stats.prompt_tokens)],
        [t("chat.stats.cached-tokens"), tokens(stats.cached_tokens)],
        [t("chat.stats.answer-tokens"), tokens(stats.tokens)],
        [
            t("chat.stats.drafts"),
            t("chat.stats.of", { accepted: stats.accepted, drafted: stats.drafted }),
        ],
    ];
}

/** Tokens per second, with as many digits as matter. */
function rate(value: number): string {
    return t("chat.stats.tps", { n: number(value, value < 100 ? 1 : 0) });
}

function finish({ finish_reason, limit, isStoppedElsewhere }: Ended): string {
    switch (finish_reason) {
        case "stop":
            return t("chat.finish.stop");
        case "abort":
            return t(isStoppedElsewhere ? "chat.finish.elsewhere" : "chat.finish.abort");
        case "tool_calls":
            return t("chat.finish.tool_calls");
        case "length":
            // The server names the limit only in answers to messages.
            return t(limit ? `chat.finish.${limit}` : "chat.finish.length");
    }
}

/** Milliseconds in words, with as many digits as matter. */
export function duration(milliseconds: number): string {
    if (milliseconds < 1000) return `${number(milliseconds, 0)} ms`;
    const seconds = milliseconds / 1000;
    if (seconds < 60) return `${number(seconds, seconds < 10 ? 2 : 1)} s`;
    return `${number(Math.floor(seconds / 60), 0)} min ${number(Math.round(seconds % 60), 0)} s`;
}
