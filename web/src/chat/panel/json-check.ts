/** Finds the first fault of a JSON text. `JSON.parse` says where it is in some browsers only. */

export type JsonFaultKind =
    | "empty"
    | "value"
    | "name"
    | "colon"
    | "comma"
    | "number"
    | "open-text"
    | "escape"
    | "control"
    | "more"
    | "deep";

/** A fault, with its line and column counted from 1. */
export interface JsonFault {
    kind: JsonFaultKind;
    line: number;
    column: number;
}

/** The first fault of `text`, or `null` if it is JSON. */
export function jsonFault(text: string): JsonFault | null {
    try {
        new Reader(text).document();
        return null;
    } catch (error) {
        if (error instanceof Fault) return { kind: error.kind, ...placeOf(text, error.at) };
        throw error;
    }
}

/** The line and the column of the character `at`. */
function placeOf(text: string, at: number): { line: number; column: number } {
    const before = text.slice(0, at).split("\n");
    return { line: before.length, column: [...(before.at(-1) ?? "")].length + 1 };
}

class Fault extends Error {
    constructor(
        readonly kind: JsonFaultKind,
        readonly at: number,
    ) {
        super(kind);
    }
}

class Reader {
    #at = 0;
    #depth = 0;

    constructor(readonly text: string) {}

    document(): void {
        this.#space();
        if (this.#at === this.text.length) this.#fail("empty");
        this.#value();
        this.#space();
        if (this.#at < this.text.length) this.#fail("more");
    }

    #value(): void {
        this.#space();
        const first = this.text[this.#at];
        if (first === "{") this.#nested("}", () => this.#member());
        else if (first === "[") this.#nested("]", () => this.#value());
        else if (first === '"') this.#string();
        else if (first !== undefined && /[-0-9]/.test(first)) this.#number();
        else if (!this.#skip(/(?:true|false|null)(?![\w$])/y)) this.#fail("value");
    }

    /** What `item` reads, between commas, up to the bracket `end`. */
    #nested(end: string, item: () => void): void {
        this.#depth += 1;
        if (this.#depth > MAX_DEPTH) this.#fail("deep");
        this.#at += 1;
        this.#space();
        if (this.text[this.#at] !== end) {
            item();
            this.#space();
            while (this.text[this.#at] === ",") {
                this.#at += 1;
                item();
                this.#space();
            }
            if (this.text[this.#at] !== end) this.#fail("comma");
        }
        this.#at += 1;
        this.#depth -= 1;
    }

    #member(): void {
        this.#space();
        if (this.text[this.#at] !== '"') this.#fail("name");
        this.#string();
        this.#space();
        if (this.text[this.#at] !== ":") this.#fail("colon");
        this.#at += 1;
        this.#value();
    }

    #string(): void {
        const start = this.#at;
        this.#at += 1;
        for (;;) {
            this.#skip(/[^"\\\u0000-\u001f]+/y);
            const next = this.text[this.#at];
            if (next === undefined || next === "\n") this.#fail("open-text", start);
            if (next === '"') break;
            if (next !== "\\") this.#fail("control");
            if (!this.#skip(/\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y)) this.#fail("escape");
        }
        this.#at += 1;
    }

    #number(): void {
        const isNumber = this.#skip(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/y);
        if (!isNumber) this.#fail("number");
    }

    #space(): void {
        this.#skip(/[ \t\r\n]*/y);
    }

    #skip(pattern: RegExp): boolean {
        pattern.lastIndex = this.#at;
        const isMatch = pattern.test(this.text);
        if (isMatch) this.#at = pattern.lastIndex;
        return isMatch;
    }

    #fail(kind: JsonFaultKind, at = this.#at): never {
        throw new Fault(kind, at);
    }
}

/** Levels of lists and objects that the server reads in a constraint. */
const MAX_DEPTH = 100;
