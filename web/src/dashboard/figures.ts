/** What the tiles of the dashboard say. */

import { number, t, type TextKey } from "../i18n";
import { duration, percent } from "../i18n/units";
import type { Inference, Metrics, StepPhases } from "../protocol";
import type { BarPart } from "./stacked-bar";

export interface Figure {
    label: string;
    value: string;
    /** What makes the value easier to judge. */
    note?: string | undefined;
    /** The used part of what there is, 0 to 1. */
    share?: number | undefined;
    isBad?: boolean | undefined;
}

/** The figures of a frame. What the server does not send is left out. */
export function figures(inference: Inference): Figure[] {
    const { active, queued, slots, suspended = 0 } = inference;
    const { kv_used_tokens: used, kv_total_tokens: total, kv_running_tokens: running } = inference;
    const noAnswer = t(active > 0 ? "figure.first-request" : "figure.no-request");
    const list: (Figure | null)[] = [
        {
            label: t("figure.speed"),
            value: rate(inference.tps_now),
            note: inference.last_tps
                ? t("figure.speed.last", { n: rate(inference.last_tps) })
                : noAnswer,
        },
        {
            label: t("figure.first-token"),
            value: inference.last_ttft_ms ? duration(inference.last_ttft_ms) : "–",
            note: inference.last_ttft_ms ? t("figure.of-last") : noAnswer,
        },
        {
            label: t("figure.slots"),
            value: `${number(active, 0)} / ${number(slots, 0)}`,
            note: suspended > 0 ? t("figure.suspended", { n: suspended }) : undefined,
            share: slots > 0 ? active / slots : undefined,
        },
        { label: t("figure.queue"), value: number(queued, 0), isBad: queued > slots },
        {
            label: t("figure.kv"),
            value: total > 0 ? percent(used / total) : "–",
            note:
                running === undefined
                    ? t("figure.kv.tokens", { used, total })
                    : t("figure.kv.running", { used, total, running }),
            share: total > 0 ? used / total : undefined,
        },
        cacheHits(inference),
        drafts(inference),
        {
            label: t("figure.generated"),
            value: number(inference.total_tokens_generated, 0),
            note: t("figure.prompt", { n: inference.prompt_tokens_total }),
        },
        { label: t("figure.connections"), value: number(inference.connections, 0) },
        {
            label: t("figure.uptime"),
            value: duration(inference.uptime_s * 1000),
            note:
                inference.restarts === undefined
                    ? undefined
                    : t("figure.restarts", { n: inference.restarts }),
        },
    ];
    return list.filter((figure) => figure !== null);
}

/** Tokens per second, with as many digits as matter. */
function rate(value: number): string {
    return number(value, value < 10 ? 1 : 0);
}

/** How many tokens of the prompts the prefix cache had. */
function cacheHits({ cached_tokens_total: cached, prompt_tokens_total }: Inference): Figure | null {
    if (cached === undefined) return null;
    const all = cached + prompt_tokens_total;
    return {
        label: t("figure.cache"),
        value: all > 0 ? percent(cached / all) : "–",
        note: t("figure.cache.tokens", { n: cached }),
        share: all > 0 ? cached / all : undefined,
    };
}

/** How many of the guessed tokens the model accepted. */
function drafts(inference: Inference): Figure | null {
    const { drafted_tokens_total: drafted, accepted_tokens_total: accepted } = inference;
    if (drafted === undefined || accepted === undefined) return null;
    return {
        label: t("figure.drafts"),
        value: drafted > 0 ? percent(accepted / drafted) : "–",
        note: t("figure.drafts.tokens", { accepted, drafted }),
        share: drafted > 0 ? accepted / drafted : undefined,
    };
}

/**
 * How the steps of the last minute spent their time, in milliseconds; `null` where the server does
 * not tell. The counters begin anew with the server.
 */
export function stepPhases(samples: Metrics[]): BarPart[] | null {
    const latest = samples[samples.length - 1];
    const now = latest?.inference.step_phases_ms;
    if (!latest || !now) return null;
    const before = samples.find(({ timestamp }) => timestamp >= latest.timestamp - PHASE_SECONDS);
    const then = before?.inference.step_phases_ms;
    const isSameServer = then !== undefined && PHASES.every(([name]) => then[name] <= now[name]);
    return PHASES.map(([name, key]) => ({
        name,
        label: t(key),
        value: now[name] - (isSameServer ? then[name] : 0),
    }));
}

const PHASES: [keyof StepPhases, TextKey][] = [
    ["decode", "phase.decode"],
    ["schedule", "phase.schedule"],
    ["draft", "phase.draft"],
    ["commit", "phase.commit"],
];

/** Over how many seconds phases are added up. */
const PHASE_SECONDS = 60;
