/** Plain text, in pieces that the browser lays out one by one and only where they are seen. */

import { memo } from "preact/compat";

import { PLAIN_PIECE } from "./limits";

export function PlainText({ text }: { text: string }) {
    return (
        <div class="plain" dir="auto">
            {pieces(text).map((piece, index) => (
                <Piece key={index} text={piece} />
            ))}
        </div>
    );
}

/** `text` in pieces that end at a line end if there is one. */
export function pieces(text: string): string[] {
    if (text.length <= PLAIN_PIECE) return [text];
    const found: string[] = [];
    for (let at = 0; at < text.length;) {
        let end = at + PLAIN_PIECE;
        const line = text.lastIndexOf("\n", end - 1) + 1;
        if (end < text.length && line > at) end = line;
        // The two halves of a character stay together.
        else if (/[\uDC00-\uDFFF]/.test(text.charAt(end))) end += 1;
        found.push(text.slice(at, end));
        at = end;
    }
    return found;
}

const Piece = memo(({ text }: { text: string }) => <div class="piece">{text}</div>);
