import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import { columns, longestInterval, nearest, thin } from "../../../src/dashboard/history";
import { inference, metrics } from "../../fakes/metrics";

const frame = (timestamp: number, active = 1) =>
    metrics(timestamp, { inference: inference({ active }) });
const active = (sample: ReturnType<typeof frame>) => sample.inference.active;

describe("columns", () => {
    it("has one row for each sample", () => {
        expect(columns([frame(1, 4), frame(2, 5)], [active])).toEqual([
            [1, 2],
            [4, 5],
        ]);
    });

    it("leaves a gap where the connection was lost", () => {
        const samples = [frame(1), frame(2), frame(3), frame(30), frame(31)];
        expect(columns(samples, [active])).toEqual([
            [1, 2, 3, 16.5, 30, 31],
            [1, 1, 1, null, 1, 1],
        ]);
    });

    it("leaves no gap where frames come seldom", () => {
        const [times] = columns([frame(0), frame(10), frame(20), frame(31)], [active]);
        expect(times).toEqual([0, 10, 20, 31]);
    });

    it("is empty without samples", () => {
        expect(columns([], [active])).toEqual([[], []]);
    });
});

describe("the longest interval", () => {
    it("is at least three seconds, even if frames come often", () => {
        expect(longestInterval([frame(1), frame(1), frame(2)])).toBe(3);
    });

    it("is not changed by one long pause", () => {
        expect(longestInterval([frame(1), frame(2), frame(3), frame(500)])).toBe(3);
    });
});

describe("thin", () => {
    const rows = Array.from({ length: 900 }, (_, i) => i);

    it("keeps at most so many rows, the first and the last among them", () => {
        const thinned = thin(rows, 60);
        expect(thinned).toHaveLength(60);
        expect([thinned[0], thinned[59]]).toEqual([0, 899]);
    });

    it("takes the rows at even distances, in their order", () => {
        const distances = thin(rows, 60).map((row, i, all) => row - (all[i - 1] ?? row));
        expect(new Set(distances.slice(1))).toEqual(new Set([15, 16]));
    });

    it("keeps all rows of a short list", () => {
        expect(thin([1, 2, 3], 60)).toEqual([1, 2, 3]);
    });
});

describe("nearest", () => {
    it.each([
        [[], 5, -1],
        [[10], 5, 0],
        [[10, 20, 30], 14, 0],
        [[10, 20, 30], 16, 1],
        [[10, 20, 30], 99, 2],
    ])("finds in %j the time nearest to %d at %d", (times, time, index) => {
        expect(nearest(times, time)).toBe(index);
    });
});
