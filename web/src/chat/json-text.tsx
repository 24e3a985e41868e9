/** JSON as a block of code. */

import { CodeBlock } from "./markdown/code";

/**
 * Whether `text` is an object or a list in JSON as a whole. One that grows only looks like it: prose
 * hardly begins so.
 */
export function isJsonText(text: string, isOpen: boolean): boolean {
    if (!/^\s*(?:\{\s*["}]|\[\s*[[{"\]])/.test(text)) return false;
    if (isOpen) return true;
    if (text.length > MAX_PRETTY) return false;
    try {
        JSON.parse(text);
        return true;
    } catch {
        return false;
    }
}

/** JSON with line breaks; any other text as it is. */
export function Json({ text, isOpen }: { text: string; isOpen: boolean }) {
    const shown = isOpen ? text : pretty(text);
    const isJson = shown !== text || /^\s*[[{]/.test(text);
    return <CodeBlock code={shown} language={isJson ? "json" : ""} isOpen={isOpen} />;
}

function pretty(text: string): string {
    if (text.length > MAX_PRETTY) return text;
    try {
        return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        return text;
    }
}

/** Characters of JSON that is written with line breaks. */
const MAX_PRETTY = 256 * 1024;
