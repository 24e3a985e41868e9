/** How a token is shown: with marks for what cannot be seen. */

import type { TokenLogprob } from "../protocol";

/** A part of a token: text as it is, or a mark that stands for something invisible. */
export interface TokenPart {
    text: string;
    isMark: boolean;
    /** A mark after which the line ends. */
    endsLine: boolean;
}

/**
 * The parts of a token. Spaces get a mark if the token has nothing else, or if `showsSpaces`.
 * The bytes of a token that is a part of a character are written as numbers.
 */
export function tokenParts(token: TokenLogprob, showsSpaces: boolean): TokenPart[] {
    if (token.token === "") return [];
    if (token.token.includes("\uFFFD")) return [mark(bytesText(token.bytes))];
    const marksSpaces = showsSpaces || token.token.trim() === "";
    const parts: TokenPart[] = [];
    for (const char of token.token.slice(0, MAX_CHARS)) {
        const part = partOf(char, marksSpaces);
        const last = parts.at(-1);
        if (last && !last.isMark && !part.isMark) last.text += part.text;
        else parts.push(part);
    }
    if (token.token.length > MAX_CHARS) parts.push(mark("…"));
    return parts;
}

/** A token in one line, with marks. */
export function tokenName(token: TokenLogprob): string {
    return tokenParts(token, true)
        .map(({ text }) => text)
        .join("");
}

/** The probability of a token, from 0 to 1. */
export function probability({ logprob }: TokenLogprob): number {
    return Math.min(1, Math.exp(logprob));
}

function partOf(char: string, marksSpaces: boolean): TokenPart {
    if (char === " ") return marksSpaces ? mark("␣") : { ...mark(" "), isMark: false };
    if (char === "\n") return { text: "⏎", isMark: true, endsLine: true };
    if (char === "\t") return mark("⇥");
    return INVISIBLE.test(char)
        ? mark(`<U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}>`)
        : { text: char, isMark: false, endsLine: false };
}

function mark(text: string): TokenPart {
    return { text, isMark: true, endsLine: false };
}

function bytesText(bytes: readonly number[]): string {
    const digits = bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0"));
    return `<${digits.join(" ")}>`;
}

/** Control characters, those that change the direction of text, other spaces, lone surrogates. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|(?! )\p{Zs}/u;

/** Characters of a token that are shown. The longest tokens of usual vocabularies have 256. */
const MAX_CHARS = 256;
