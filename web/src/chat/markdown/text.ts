/** Characters of texts that somebody else wrote. */

/** `text` with the characters that change the direction of text made visible, as in `[U+202E]`. */
export function withVisibleControls(text: string): string {
    return text.replace(
        /[\u202A-\u202E\u2066-\u2069]/g,
        (mark) => `[U+${mark.charCodeAt(0).toString(16).toUpperCase()}]`,
    );
}

/**
 * The direction of a block, which its first letter decides. HTML's `auto` does not look into the
 * paragraphs and cells of a block, which have directions of their own.
 */
export function directionOf(text: string): "ltr" | "rtl" {
    return RIGHT_TO_LEFT.test(/\p{L}/u.exec(text)?.[0] ?? "") ? "rtl" : "ltr";
}

/** `text` with the usual references to characters replaced, such as `&amp;`. */
export function withoutEntities(text: string): string {
    return text.replace(
        /&(?:#x([\da-f]{1,6})|#(\d{1,7})|(\w{2,8}));/gi,
        (whole, hex, number, name) => {
            if (name) return ENTITIES[name as string] ?? whole;
            const code = hex ? parseInt(hex as string, 16) : Number(number);
            const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
            return isCharacter ? String.fromCodePoint(code) : "\uFFFD";
        },
    );
}

/**
 * The address that a link may open, written so that nothing in it is hidden; `null` for addresses
 * that this page does not open.
 */
export function openableAddress(address: string): string | null {
    try {
        const { protocol, href } = new URL(address);
        return ["http:", "https:", "mailto:"].includes(protocol) ? href : null;
    } catch {
        return null;
    }
}

/** Hebrew, Arabic, Syriac, Thaana, N'Ko, Adlam and others. */
const RIGHT_TO_LEFT =
    /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFF\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;

const ENTITIES: Record<string, string> = Object.assign(Object.create(null), {
    amp: "&",
    lt: "<",
    gt: ">",
    quot: '"',
    apos: "'",
    nbsp: "\u00A0",
    copy: "©",
    reg: "®",
    trade: "™",
    deg: "°",
    plusmn: "±",
    times: "×",
    divide: "÷",
    middot: "·",
    bull: "•",
    hellip: "…",
    ndash: "–",
    mdash: "—",
    laquo: "«",
    raquo: "»",
    larr: "←",
    rarr: "→",
    uarr: "↑",
    darr: "↓",
    le: "≤",
    ge: "≥",
    ne: "≠",
    asymp: "≈",
    infin: "∞",
    euro: "€",
});
