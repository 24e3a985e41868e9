/** Short texts with what cannot be seen written as escapes: `\n` for a line break. */

/** `text` in one line. */
export function escaped(text: string): string {
    return text.replace(/[\\\n\r\t]/g, (char) => ESCAPES[char] ?? char);
}

/** The text that `line` stands for. A backslash before anything else stands for itself. */
export function unescaped(line: string): string {
    return line.replace(/\\([\\nrt])/g, (_, letter: string) => LETTERS[letter] ?? letter);
}

/** The length of `text` in UTF-8. */
export function byteLength(text: string): number {
    return new TextEncoder().encode(text).length;
}

const ESCAPES: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const LETTERS: Record<string, string> = { "\\": "\\", n: "\n", r: "\r", t: "\t" };
