/** Colours code. Loaded when the first code is shown. */

import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

import { sanitizedCode } from "./sanitize";

const LANGUAGES = {
    bash,
    cpp,
    css,
    diff,
    go,
    java,
    javascript,
    json,
    python,
    rust,
    sql,
    typescript,
    xml,
    yaml,
};

for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

/** `code` as elements with its colours; `null` if the language is not known. */
export function highlight(code: string, language: string): DocumentFragment | null {
    if (!hljs.getLanguage(language)) return null;
    return sanitizedCode(hljs.highlight(code, { language, ignoreIllegals: true }).value);
}
