import { describe, expect, it } from "vitest";

import { isJsonText } from "../../../src/chat/json-text";

describe("an answer in JSON", () => {
    it.each(['{"a": [1, 2]}', "\n{}\n", '[{"a": 1}]', '["x"]'])("is a block of code: %s", (text) =>
        expect(isJsonText(text, false)).toBe(true),
    );

    it.each(["[a link](https://example.org)", "{not json}", '{"a": 1} and more', "[1] a footnote"])(
        "is none if it is prose: %s",
        (text) => expect(isJsonText(text, false)).toBe(false),
    );

    it("is one while it grows", () => expect(isJsonText('{"a": ', true)).toBe(true));
});
