import { describe, expect, test } from "vitest";

import { jsonFault } from "../../../src/chat/panel/json-check";

describe("a JSON text", () => {
    test.each([
        "{}",
        "[]",
        " null ",
        '"a\\u00e9\\n"',
        "-0.5e+10",
        '{"a": [1, true, false, {"b": null}], "c": ""}',
        '\t{\r\n"a":1}\n',
    ])("%j has no fault", (text) => {
        expect(jsonFault(text)).toBeNull();
    });

    test.each<[string, string, number, number]>([
        ["", "empty", 1, 1],
        [" \n ", "empty", 2, 2],
        ["{", "name", 1, 2],
        ['{"a"}', "colon", 1, 5],
        ['{"a":}', "value", 1, 6],
        ['{"a":1,}', "name", 1, 8],
        ["[1,]", "value", 1, 4],
        ["[1 2]", "comma", 1, 4],
        ['{\n  "a": 1\n  "b": 2\n}', "comma", 3, 3],
        ["{'a':1}", "name", 1, 2],
        ["{a:1}", "name", 1, 2],
        ["01", "number", 1, 1],
        ["1.", "number", 1, 1],
        ["+1", "value", 1, 1],
        ["-", "number", 1, 1],
        ["NaN", "value", 1, 1],
        ["undefined", "value", 1, 1],
        ["truex", "value", 1, 1],
        ['"a', "open-text", 1, 1],
        ['["a\n"]', "open-text", 1, 2],
        ['"\\x"', "escape", 1, 2],
        ['"\\u12"', "escape", 1, 2],
        ['"a\tb"', "control", 1, 3],
        ["{} {}", "more", 1, 4],
        ["🙂", "value", 1, 1],
        ['["🙂" 1]', "comma", 1, 6],
        [`${"[".repeat(101)}${"]".repeat(101)}`, "deep", 1, 101],
    ])("%j has its first fault where it is", (text, kind, line, column) => {
        expect(jsonFault(text)).toEqual({ kind, line, column });
    });

    test("the reader agrees with JSON.parse about each beginning of a document", () => {
        const text = '{"a": [1, -2.5e3, true, null, {"b": "x\\n\\u00e9"}], "c": false}';
        for (let end = 0; end <= text.length; end += 1) {
            const cut = text.slice(0, end);
            expect(jsonFault(cut) === null, cut).toBe(isJson(cut));
        }
    });

    test("the reader agrees with JSON.parse about a document without one of its characters", () => {
        const text = '{"a": [1, -2.5e3, true, null, {"b": "x\\n\\u00e9"}], "c": false}';
        for (let at = 0; at < text.length; at += 1) {
            const cut = text.slice(0, at) + text.slice(at + 1);
            expect(jsonFault(cut) === null, cut).toBe(isJson(cut));
        }
    });
});

function isJson(text: string): boolean {
    try {
        JSON.parse(text);
        return true;
    } catch {
        return false;
    }
}
