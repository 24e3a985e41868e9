import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import { MB, throttleWords, vramParts } from "../../../src/dashboard/gpu";
import { gpu } from "../../fakes/metrics";

const values = (parts: ReturnType<typeof vramParts>) =>
    Object.fromEntries((parts ?? []).map(({ name, value }) => [name, value / MB]));

describe("the parts of the VRAM", () => {
    it.each([
        ["a usual GPU", gpu(), 500 * MB],
        ["a reserve larger than what is free", gpu({ vram_free_mb: 100 }), 500 * MB],
        ["a process larger than what is used", gpu({ process_vram_mb: 90_000 }), 0],
        ["an unknown process", gpu({ process_vram_mb: null }), 500 * MB],
        ["more free than there is", gpu({ vram_free_mb: 90_000 }), 500 * MB],
    ])("add up to the size for %s, and none is negative", (_, card, reserve) => {
        const parts = vramParts(card, reserve) ?? [];
        const sum = parts.reduce((sum, { value }) => sum + value, 0);
        expect(sum).toBe((card.vram_total_mb ?? 0) * MB);
        for (const { value } of parts) expect(value).toBeGreaterThanOrEqual(0);
    });

    it("are this server, others, free and the reserve", () => {
        expect(values(vramParts(gpu(), 500 * MB))).toEqual({
            process: 13_500,
            others: 1500,
            free: 9064,
            reserve: 500,
        });
    });

    it("are unknown where the driver does not tell the size", () => {
        expect(vramParts(gpu({ vram_total_mb: null }), 0)).toBeNull();
    });
});

describe("the words for throttling", () => {
    it("explain each reason", () => {
        expect(throttleWords(["power_cap", "hardware_thermal"])).toEqual([
            "the power limit is reached",
            "the chip is too hot",
        ]);
    });

    it("show a reason of a newer server as it is", () => {
        expect(throttleWords(["sync_boost"])).toEqual(["sync boost"]);
    });

    it("are none without reasons", () => {
        expect(throttleWords(null)).toEqual([]);
    });
});
