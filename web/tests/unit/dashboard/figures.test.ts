import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import { figures, stepPhases } from "../../../src/dashboard/figures";
import type { Inference } from "../../../src/protocol";
import { inference, metrics } from "../../fakes/metrics";

const valueOf = (label: string, values: Inference) =>
    figures(values).find((figure) => figure.label === label);

describe("the figures", () => {
    it("leave out what an older server does not send", () => {
        const { cached_tokens_total, drafted_tokens_total, restarts, ...older } = inference();
        const labels = figures(older as Inference).map(({ label }) => label);
        expect(labels).not.toContain("Prompts from the cache");
        expect(labels).not.toContain("Guesses accepted");
        expect(valueOf("Running for", older as Inference)?.note).toBeUndefined();
    });

    it("are free of divisions by zero at the start", () => {
        const start = inference({
            kv_total_tokens: 0,
            slots: 0,
            prompt_tokens_total: 0,
            cached_tokens_total: 0,
            drafted_tokens_total: 0,
            accepted_tokens_total: 0,
            last_ttft_ms: 0,
            last_tps: 0,
        });
        for (const { value, share } of figures(start)) {
            expect(value).not.toMatch(/NaN|∞/);
            expect(share ?? 0).toBe(0);
        }
    });

    it("tell a server without answers from one that makes its first", () => {
        const none = { last_ttft_ms: 0, last_tps: 0 };
        const note = (active: number) =>
            valueOf("Tokens per second", inference({ ...none, active }))?.note;
        expect(note(0)).toBe("no answer yet");
        expect(note(1)).toBe("the first answer is running");
    });

    it("count the prompt tokens that were not computed again", () => {
        const values = inference({ cached_tokens_total: 300, prompt_tokens_total: 700 });
        expect(valueOf("Prompts from the cache", values)).toMatchObject({
            value: "30 %",
            share: 0.3,
        });
    });
});

describe("the phases of steps", () => {
    const frame = (timestamp: number, decode: number) =>
        metrics(timestamp, {
            inference: inference({ step_phases_ms: { schedule: 0, draft: 0, decode, commit: 0 } }),
        });
    const decode = (samples: Parameters<typeof stepPhases>[0]) =>
        stepPhases(samples)?.find(({ name }) => name === "decode")?.value;

    it("are those of the last minute", () => {
        expect(decode([frame(0, 100), frame(100, 5000), frame(160, 8000)])).toBe(3000);
    });

    it("begin anew with the server", () => {
        expect(decode([frame(100, 5000), frame(110, 200)])).toBe(200);
    });

    it("are unknown with an older server", () => {
        const { step_phases_ms, ...older } = inference();
        expect(stepPhases([metrics(1, { inference: older as Inference })])).toBeNull();
    });
});
