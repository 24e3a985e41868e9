/**
 * Splits a text that grows into the blocks of its Markdown. A block is closed once no further text
 * can change it, so that it has to be rendered only once. The blocks are the same however the text
 * is cut into pieces.
 */

import type { Token } from "marked";

import { lexBlocks } from "./lexer";
import { MAX_BLOCK, PLAIN_PIECE } from "./limits";

export interface Block {
    /** `plain`: a piece of a block that is too long to be taken apart. */
    kind: "markdown" | "plain";
    text: string;
}

export class Splitter {
    readonly #closed: Block[] = [];
    /** What follows the closed blocks. */
    #tail = "";
    /** The end of the plain text that the tail is part of; its `lastIndex` is where it may begin. */
    #plainEnd: RegExp | null = null;
    /** A carriage return at the end, which may be half of a line end. */
    #heldBack = "";

    /** The blocks that no further text changes. */
    get closed(): readonly Block[] {
        return this.#closed;
    }

    /** The blocks that further text may change. */
    get open(): Block[] {
        if (this.#tail === "") return [];
        if (this.#plainEnd || this.#tail.length > MAX_BLOCK) {
            return [{ kind: "plain", text: this.#tail }];
        }
        return lexBlocks(this.#tail)
            .filter(({ type }) => type !== "space")
            .map(({ raw }) => ({ kind: "markdown", text: raw }));
    }

    push(text: string): void {
        const whole = this.#heldBack + text;
        this.#heldBack = whole.endsWith("\r") ? "\r" : "";
        const added = whole.slice(0, whole.length - this.#heldBack.length).replace(/\r\n?/g, "\n");
        this.#tail += added;
        const isLong = this.#tail.length > MAX_BLOCK;
        if (added.includes("\n") || this.#plainEnd || isLong) while (this.#close());
    }

    /** Closes what can be closed. True if there may be more. */
    #close(): boolean {
        return this.#plainEnd ? this.#closePlain(this.#plainEnd) : this.#closeBlocks();
    }

    #closeBlocks(): boolean {
        // The beginning of a line does not tell what the line will be, unless it is very long.
        const isLong = this.#tail.length > MAX_BLOCK;
        const text = isLong ? this.#tail : this.#tail.slice(0, this.#tail.lastIndexOf("\n") + 1);
        const tokens = lexBlocks(text);
        const until = lastStart(text, tokens);
        let at = 0;
        for (const { type, raw } of tokens) {
            if (at >= until) break;
            if (raw.length > MAX_BLOCK) return this.#beginPlain(at, raw);
            at += raw.length;
            if (type !== "space") this.#closed.push({ kind: "markdown", text: raw });
        }
        this.#tail = this.#tail.slice(at);
        return this.#tail.length > MAX_BLOCK && this.#beginPlain(0, this.#tail);
    }

    #beginPlain(at: number, block: string): true {
        this.#tail = this.#tail.slice(at);
        this.#plainEnd = endOf(block);
        // A list with blank lines would otherwise be taken apart again after each of them.
        this.#plainEnd.lastIndex = MAX_BLOCK - MAX_END;
        return true;
    }

    /** Closes whole pieces of plain text, and the text up to its end if that has come. */
    #closePlain(end: RegExp): boolean {
        const from = end.lastIndex;
        const found = end.exec(this.#tail);
        const until = found ? end.lastIndex : this.#tail.length;
        let at = 0;
        // An end may be cut at the end of the tail.
        while (until - at > PLAIN_PIECE + (found ? 0 : MAX_END)) {
            const to = wholeCharacters(this.#tail, at + PLAIN_PIECE);
            this.#closed.push({ kind: "plain", text: this.#tail.slice(at, to) });
            at = to;
        }
        if (found) {
            this.#closed.push({ kind: "plain", text: this.#tail.slice(at, until) });
            at = until;
            this.#plainEnd = null;
        } else {
            end.lastIndex = Math.max(0, from - at);
        }
        this.#tail = this.#tail.slice(at);
        return found !== null && this.#tail.includes("\n");
    }
}

/**
 * Where the last block begins that follows a blank line. What stands before cannot change: every
 * block but code and HTML, which are one token, ends at a blank line, or continues in what follows.
 */
function lastStart(text: string, tokens: Token[]): number {
    let start = 0;
    let at = 0;
    for (const { type, raw } of tokens) {
        // Marked has changed the text.
        if (!text.startsWith(raw, at)) break;
        if (type !== "space" && /\n[^\S\n]*\n$/.test(text.slice(Math.max(0, at - MAX_END), at))) {
            start = at;
        }
        at += raw.length;
    }
    return start;
}

/** Where a block ends that is too long: at its fence, or else at a blank line. */
function endOf(block: string): RegExp {
    const fence = /^ {0,3}(`{3,}|~{3,})/.exec(block)?.[1];
    return fence ? new RegExp(`\\n {0,3}${fence}[^\\S\\n]*\\n`, "g") : /\n[^\S\n]*\n/g;
}

/** `at`, or the next place if a character would be cut there. */
function wholeCharacters(text: string, at: number): number {
    const code = text.charCodeAt(at);
    return code >= 0xdc00 && code <= 0xdfff ? at + 1 : at;
}

/** The longest blank line, or closing fence, that is recognized. */
const MAX_END = 128;
