/** HTML that a model or the highlighter wrote. Loaded when the first of it is shown. */

import DOMPurify from "dompurify";

/**
 * HTML of a model, if it has only the elements and attributes below; otherwise `null`. So nothing
 * of it disappears: what is not allowed is shown as it was written.
 */
export function sanitizedHtml(html: string): DocumentFragment | null {
    // Browsers report handlers and styles to the console although the text is only parsed.
    if (hasForeignTag(html) || /(?:^|[\s"'/])(?:on\w+|style)\s*=/i.test(html)) return null;
    // Before the first element of the body, scripts and the like would go to the head unnoticed.
    const clean = sanitized(`<div>${html}`, TAGS, ["open", "colspan", "rowspan", "align", "dir"]);
    return DOMPurify.removed.length === 0 ? clean : null;
}

function hasForeignTag(html: string): boolean {
    return [...html.matchAll(/<\/?([a-z][^\s/>]*)/gi)].some(
        ([, name = ""]) => !TAGS.includes(name.toLowerCase()),
    );
}

/** The marks of the highlighter. */
export function sanitizedCode(html: string): DocumentFragment {
    return sanitized(html, ["span", "#text"], ["class"]);
}

function sanitized(html: string, tags: string[], attributes: string[]): DocumentFragment {
    return DOMPurify.sanitize(html, {
        ALLOWED_TAGS: tags,
        ALLOWED_ATTR: attributes,
        ALLOW_DATA_ATTR: false,
        ALLOW_ARIA_ATTR: false,
        RETURN_DOM_FRAGMENT: true,
    });
}

/** Elements that only divide and mark text. */
const TAGS = [
    ...["p", "div", "span", "br", "hr", "blockquote", "pre", "code", "kbd", "samp", "var"],
    ...["b", "strong", "i", "em", "u", "s", "del", "ins", "mark", "small", "sub", "sup", "q"],
    ...["abbr", "cite", "dfn", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li"],
    ...["dl", "dt", "dd", "details", "summary", "ruby", "rt", "rp", "#text", "body"],
    ...["table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"],
];
