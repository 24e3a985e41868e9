import { describe, expect, test } from "vitest";

import { escaped, unescaped } from "../../../src/chat/panel/escapes";
import {
    NAMES,
    NUMBERS,
    parseNumber,
    withoutParams,
    withParam,
} from "../../../src/chat/panel/parameters";
import { presetOf, withPreset } from "../../../src/chat/panel/presets";

describe("a number", () => {
    const range = { min: -1, max: 10, isInteger: false };

    test.each<[string, number | undefined | null]>([
        ["", undefined],
        ["  ", undefined],
        ["0.5", 0.5],
        ["0,5", 0.5],
        ["1e1", 10],
        ["-1", -1],
        ["−1", -1],
        ["10.01", null],
        ["-1.5", null],
        ["ten", null],
        ["Infinity", null],
        ["1.2.3", null],
    ])("the text %j is read as %j", (text, value) => {
        expect(parseNumber(text, range)).toBe(value);
    });

    test("a fraction is no whole number", () => {
        expect(parseNumber("1.5", { ...range, isInteger: true })).toBeNull();
    });

    test("every default and every slider is within its range", () => {
        for (const { name, min, max, initial, slider } of NUMBERS) {
            expect(initial, name).toBeGreaterThanOrEqual(min);
            expect(initial, name).toBeLessThanOrEqual(max);
            if (!slider) continue;
            expect(slider.min, name).toBeGreaterThanOrEqual(min);
            expect(slider.max, name).toBeLessThanOrEqual(max);
        }
    });

    test("each parameter is in one part of the panel", () => {
        const names = Object.values(NAMES).flat();
        expect(new Set(names).size).toBe(names.length);
        for (const { name } of NUMBERS) expect(names).toContain(name);
    });
});

describe("parameters", () => {
    test("setting one leaves the others and the given object as they are", () => {
        const params = { temp: 1, seed: 2 };
        expect(withParam(params, "seed", 3)).toEqual({ temp: 1, seed: 3 });
        expect(params).toEqual({ temp: 1, seed: 2 });
    });

    test("a parameter without a value is absent", () => {
        expect(withParam({ temp: 1 }, "temp", undefined)).toEqual({});
        expect(withoutParams({ temp: 1, seed: 2 }, ["temp", "top_k"])).toEqual({ seed: 2 });
    });

    test("a preset changes the sampling and nothing else", () => {
        const params = withPreset({ seed: 7, top_p: 0.2, temp: 2 }, "exact");
        expect(params).toEqual({ seed: 7, temp: 0 });
        expect(presetOf(params)).toBe("exact");
        expect(presetOf(withPreset(params, "creative"))).toBe("creative");
        expect(presetOf({ seed: 7 })).toBe("balanced");
        expect(presetOf({ temp: 0.5 })).toBeNull();
    });
});

describe("escapes", () => {
    test.each(["\n", "a\tb", "\\n", "\\", "a\\\\n\r\n", "¿qué?"])("%j survives", (text) => {
        expect(unescaped(escaped(text))).toBe(text);
        expect(escaped(text)).not.toMatch(/[\n\r\t]/);
    });

    test("a backslash before another letter stands for itself", () => {
        expect(unescaped("\\d\\n")).toBe("\\d\n");
    });
});
