import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import { AS_SERVED, planBars, planChanges, planPath, type Plan } from "../../../src/dashboard/plan";
import { plan } from "../../fakes/plan";

const GIB = 1024 ** 3;
const sum = (parts: { value: number }[]) => parts.reduce((sum, { value }) => sum + value, 0);

/** The plan with another size of the KV cache on the first GPU. */
function withKv(kv: number): Plan {
    const [first, ...others] = plan().places;
    return plan({ places: [{ ...first!, kv, total: first!.total - first!.kv + kv }, ...others] });
}

describe("the bars of a plan", () => {
    it("add up to budget and reserve on each GPU", () => {
        const [first, second] = planBars(plan());
        expect(sum(first!.parts)).toBeCloseTo(23.5 * GIB);
        expect(sum(second!.parts)).toBeCloseTo(16 * GIB);
    });

    it("add up to the model and the cached conversations in the host", () => {
        const host = planBars(plan())[2]!;
        expect(host.isHost).toBe(true);
        expect(sum(host.parts)).toBeCloseTo(8.35 * GIB);
        expect(host.used).toBeCloseTo(8.35 * GIB);
    });

    it("count the draft model in the host", () => {
        const draft = { ...plan().places[2]!, total: GIB };
        expect(planBars(plan({ draft }))[2]!.used).toBeCloseTo(9.35 * GIB);
    });

    it("say by how much a GPU is too small", () => {
        const [first] = planBars(withKv(20 * GIB));
        expect(first!.excess).toBeCloseTo(6.9 * GIB);
        expect(first!.parts.find(({ name }) => name === "free")?.value).toBe(0);
    });

    it("note what differs from another plan, and only that", () => {
        const [first, second] = planBars(withKv(8 * GIB), plan());
        expect(first!.parts.map(({ name, note }) => [name, note])).toContainEqual(["kv", "+2 GiB"]);
        expect(first!.parts.find(({ name }) => name === "weights")?.note).toBeUndefined();
        expect(second!.parts.every(({ note }) => note === undefined)).toBe(true);
    });
});

describe("the comparison of two plans", () => {
    it("has only what changes", () => {
        const changes = planChanges(plan(), { ...withKv(8 * GIB), kv_type: "q8_0" }, String);
        expect(changes).toEqual([
            { label: "Type of the KV cache", before: "f16", after: "q8_0" },
            { label: "Memory on GPUs", before: "29.3 GiB", after: "31.3 GiB" },
        ]);
    });

    it("is empty for equal plans", () => {
        expect(planChanges(plan(), plan(), String)).toEqual([]);
    });
});

describe("the address of a plan", () => {
    it("has no parameters if nothing is tried", () => {
        expect(planPath(AS_SERVED)).toBe("plan");
    });

    it("has what is tried, without spaces around it", () => {
        const whatIf = { ...AS_SERVED, ctx_size: " 8192 ", vram: "24GB,24GB" };
        expect(planPath(whatIf)).toBe("plan?ctx_size=8192&vram=24GB%2C24GB");
    });
});
