import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import { stateSpans } from "../../../src/dashboard/state-spans";
import type { ServerState } from "../../../src/protocol";
import { inference, metrics } from "../../fakes/metrics";

/** Frames once a second from `from` on. */
function frames(from: number, seconds: number, state: ServerState, cause?: string) {
    return Array.from({ length: seconds }, (_, i) =>
        metrics(from + i, { inference: inference({ state, ...(cause ? { cause } : {}) }) }),
    );
}

describe("the spans of states", () => {
    it("are none before the first frame", () => {
        expect(stateSpans([], 100, "connecting")).toEqual([]);
    });

    it("join neighbouring frames of the same state", () => {
        const samples = [...frames(0, 50, "idle"), ...frames(50, 50, "busy")];
        expect(stateSpans(samples, 100, "busy")).toEqual([
            { state: "idle", from: 0, to: 50, cause: null },
            { state: "busy", from: 50, to: 100, cause: null },
        ]);
    });

    it("cover the whole time without a hole", () => {
        const samples = [
            ...frames(0, 33, "idle"),
            ...frames(60, 12, "stalled"),
            ...frames(72, 31, "idle"),
        ];
        const spans = stateSpans(samples, 103, "idle");
        expect(spans[0]?.from).toBe(0);
        expect(spans[spans.length - 1]?.to).toBe(103);
        spans.slice(1).forEach((span, i) => expect(span.from).toBe(spans[i]?.to));
    });

    it("say when the connection was lost", () => {
        const samples = [...frames(0, 30, "idle"), ...frames(60, 30, "idle")];
        expect(stateSpans(samples, 90, "idle").map(({ state }) => state)).toEqual([
            "idle",
            "lost",
            "idle",
        ]);
    });

    it("show trouble of a single second, with its cause", () => {
        const samples = [
            ...frames(0, 52, "busy"),
            ...frames(52, 1, "restarting", "SIGKILL"),
            ...frames(53, 47, "busy"),
        ];
        expect(stateSpans(samples, 100, "busy")[1]).toEqual({
            state: "restarting",
            from: 50,
            to: 55,
            cause: "SIGKILL",
        });
    });

    it("end with the state of now, also that of the connection", () => {
        const spans = stateSpans(frames(0, 60, "idle"), 80, "lost");
        expect(spans[spans.length - 1]).toMatchObject({ state: "lost", to: 80 });
    });

    it("begin fifteen minutes ago at the earliest", () => {
        expect(stateSpans(frames(0, 1000, "idle"), 1000, "idle")[0]?.from).toBe(100);
    });
});
