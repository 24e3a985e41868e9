/** In which state the server was, and for how long. */

import type { Metrics } from "../protocol";
import { HISTORY_SECONDS, type shownState } from "../session";
import { longestInterval } from "./history";

export type ShownState = typeof shownState.value;

export interface StateSpan {
    state: ShownState;
    /** Unix seconds. */
    from: number;
    to: number;
    /** How the model's process ended. */
    cause: string | null;
}

/**
 * The states until `now`, oldest first, in steps of a few seconds. A step has the worst state of its
 * time, so that no trouble is too short to be seen. `current` is the state now, which may be that
 * of the connection.
 */
export function stateSpans(samples: Metrics[], now: number, current: ShownState): StateSpan[] {
    const first = samples[0];
    if (!first) return [];
    const begin = Math.max(first.timestamp, now - HISTORY_SECONDS);
    const end = Math.max(now, begin);
    const steps = new Array<Step>(Math.max(1, Math.ceil((end - begin) / STEP_SECONDS)));
    const mark = (from: number, to: number, step: Step) => {
        const last = Math.min(steps.length - 1, Math.floor((to - begin) / STEP_SECONDS));
        for (let i = Math.max(0, Math.floor((from - begin) / STEP_SECONDS)); i <= last; i++) {
            steps[i] = worse(steps[i], step);
        }
    };
    const longest = longestInterval(samples);
    samples.forEach(({ timestamp, inference: { state, cause } }, i) => {
        mark(timestamp, timestamp, { state, cause: cause ?? null });
        const next = samples[i + 1]?.timestamp ?? end;
        const isLost = next - timestamp > longest;
        if (isLost) mark(timestamp + 1, next - 1, { state: "lost", cause: null });
    });
    const latest = samples[samples.length - 1]?.inference.cause ?? null;
    steps[steps.length - 1] = { state: current, cause: current === "restarting" ? latest : null };
    return merge(steps, begin, end);
}

interface Step {
    state: ShownState;
    cause: string | null;
}

function worse(a: Step | undefined, b: Step): Step {
    return !a || SEVERITY.indexOf(b.state) >= SEVERITY.indexOf(a.state) ? b : a;
}

/** Joins neighbouring steps of the same state. A step without a sample continues the one before. */
function merge(steps: (Step | undefined)[], begin: number, end: number): StateSpan[] {
    const spans: StateSpan[] = [];
    for (let i = 0; i < steps.length; i++) {
        const to = Math.min(end, begin + (i + 1) * STEP_SECONDS);
        const step = steps[i];
        const last = spans[spans.length - 1];
        if (last && (!step || step.state === last.state)) {
            last.to = to;
            last.cause = step?.cause ?? last.cause;
        } else if (step) {
            spans.push({ ...step, from: begin + i * STEP_SECONDS, to });
        }
    }
    return spans;
}

/** Seconds of one step. */
const STEP_SECONDS = 5;

/** From the best state to the worst one. */
const SEVERITY: ShownState[] = [
    "idle",
    "busy",
    "connecting",
    "draining",
    "loading",
    "closed",
    "key-needed",
    "lost",
    "restarting",
    "stalled",
];
