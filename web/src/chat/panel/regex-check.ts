/**
 * Finds the obvious faults of a regular expression for the server, whose syntax is that of Rust's
 * crate `regex` without anchors, lazy repetition and lookaround.
 */

export type RegexFault = "empty" | "anchor" | "lookaround" | "lazy" | "backreference" | "syntax";

/** A fault that the server would find in `pattern`, or `null`. The server finds more. */
export function regexFault(pattern: string): RegexFault | null {
    if (pattern === "") return "empty";
    const bare = withoutLiterals(pattern);
    if (/\(\?<?[=!]/.test(bare)) return "lookaround";
    if (/[*+?}]\?/.test(bare)) return "lazy";
    if (/\\[1-9]/.test(bare)) return "backreference";
    if (/\\[AbBz]|\^|\$/.test(bare)) return "anchor";
    return isJavaScript(pattern) ? null : "syntax";
}

/** `pattern` with an `x` for each class of characters and each escaped punctuation mark. */
function withoutLiterals(pattern: string): string {
    return pattern.replace(/\\[pPxu]\{\w*\}|\\[^\w]|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]/g, "x");
}

/** Whether JavaScript reads `pattern` once the notations that only Rust has are rewritten. */
function isJavaScript(pattern: string): boolean {
    const rewritten = pattern
        .replace(/\(\?P</g, "(?<")
        .replace(/\(\?[a-zA-Z-]+\)/g, "")
        .replace(/\(\?[a-zA-Z-]+:/g, "(?:");
    try {
        new RegExp(rewritten);
        return true;
    } catch {
        return false;
    }
}
