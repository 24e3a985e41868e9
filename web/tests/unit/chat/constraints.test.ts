import { describe, expect, test } from "vitest";

import { EXAMPLE_SCHEMAS } from "../../../src/chat/panel/examples";
import { regexFault } from "../../../src/chat/panel/regex-check";
import { schemaIssues } from "../../../src/chat/panel/schema-check";

describe("a schema", () => {
    test("the examples have no issue", () => {
        for (const { schema } of EXAMPLE_SCHEMAS) expect(schemaIssues(schema)).toEqual([]);
    });

    test("a keyword that the server cannot enforce is named with its place", () => {
        const schema = { properties: { "a/b": { items: [{ not: { type: "null" } }] } } };
        expect(schemaIssues(schema)).toEqual([
            { kind: "keyword", name: "not", path: "#/properties/a~1b/items/0/not" },
        ]);
    });

    test("a property may have the name of a keyword", () => {
        expect(schemaIssues({ properties: { if: { type: "string" }, format: {} } })).toEqual([]);
    });

    test("data may look like a schema", () => {
        expect(schemaIssues({ enum: [{ not: 1 }], default: { if: 2 }, const: { not: 3 } })).toEqual(
            [],
        );
    });

    test("an unknown format is named", () => {
        expect(schemaIssues({ type: "string", format: "iban" })).toEqual([
            { kind: "format", name: "iban", path: "#/format" },
        ]);
    });

    test("members that are no keywords are ignored", () => {
        expect(schemaIssues({ type: "string", "x-note": "a" })).toEqual([]);
    });

    test.each([[false], [null], [[]], ["text"], [5]])("%j is no schema", (schema) => {
        expect(schemaIssues(schema)[0]?.kind).toBe("no-schema");
    });

    test("no more than ten issues are named", () => {
        const properties = Object.fromEntries(
            Array.from({ length: 50 }, (_, n) => [`p${n}`, { not: {} }]),
        );
        expect(schemaIssues({ properties })).toHaveLength(10);
    });
});

describe("a regular expression", () => {
    test.each([
        "\\d{4}-\\d{2}",
        "(?i)yes|no",
        "(?P<year>\\d+)",
        "[^$]+\\$",
        "[[:alpha:]]+",
        "a\\?\\??",
        "\\p{L}?",
        "[*+?]?",
        "\\\\d",
        "(?:ab)*c?",
    ])("%s is accepted", (pattern) => {
        expect(regexFault(pattern)).toBeNull();
    });

    test.each([
        ["", "empty"],
        ["^a", "anchor"],
        ["a$", "anchor"],
        ["\\bword\\b", "anchor"],
        ["(?=a)b", "lookaround"],
        ["(?<!a)b", "lookaround"],
        ["a*?", "lazy"],
        ["a{2,}?", "lazy"],
        ["(a)\\1", "backreference"],
        ["(a", "syntax"],
        ["a)", "syntax"],
        ["[a", "syntax"],
        ["*a", "syntax"],
    ])("%s is refused", (pattern, fault) => {
        expect(regexFault(pattern)).toBe(fault);
    });
});
