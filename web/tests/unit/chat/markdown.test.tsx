import { render, type ComponentChildren } from "preact";
import { act } from "preact/test-utils";
import { afterEach, describe, expect, it, vi } from "vitest";

import { MAX_BLOCK } from "../../../src/chat/markdown/limits";
import { lex } from "../../../src/chat/markdown/lexer";
import { AddressDialog } from "../../../src/chat/markdown/link";
import { Markdown } from "../../../src/chat/markdown/markdown";
import { blocks } from "../../../src/chat/markdown/nodes";
import { Splitter } from "../../../src/chat/markdown/splitter";
import { openableAddress, withoutEntities } from "../../../src/chat/markdown/text";

const page = document.createElement("div");
document.body.append(page);

afterEach(() => render(null, page));

/** Shows Markdown, and waits until what is loaded late is there. */
async function shown(text: string): Promise<HTMLElement> {
    await act(() => render(<Markdown text={text} />, page));
    await import("../../../src/chat/markdown/sanitize");
    await import("../../../src/chat/markdown/highlight");
    await act(() => Promise.resolve());
    return page;
}

const HOSTILE = [
    ["a script", "<script>globalThis.hacked = true</script>"],
    ["a script within a line", "Hi <script>globalThis.hacked = true</script> there"],
    ["a handler", '<img src=x onerror="globalThis.hacked = true">'],
    ["a handler within a line", 'Hi <b onmouseover="globalThis.hacked = true">there</b>'],
    ["a handler in a block", '<div onclick="globalThis.hacked = true">Hi</div>'],
    ["a link that is a script", "[Hi](javascript:globalThis.hacked=true)"],
    ["a link that is a hidden script", "[Hi](&#x6A;avascript:globalThis.hacked=true)"],
    ["a link in HTML", '<a href="javascript:globalThis.hacked=true">Hi</a>'],
    ["an address alone", "<javascript:globalThis.hacked=true>"],
    ["a data link", "[Hi](data:text/html;base64,PHNjcmlwdD4=)"],
    ["a remote image", "![Hi](https://evil.example/pixel.png)"],
    ["a data image", "![Hi](data:image/svg+xml;base64,PHN2Zz4=)"],
    ["an image with a reference", "![Hi][x]\n\n[x]: https://evil.example/pixel.png"],
    ["an SVG", "<svg onload=globalThis.hacked=true><circle r=1></svg>"],
    ["an SVG with a script", "<div><svg><script>globalThis.hacked=true</script></svg></div>"],
    ["MathML", "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>"],
    ["a style sheet", "<style>body { display: none }</style>"],
    ["a style", '<p style="position:fixed;inset:0">Hi</p>'],
    ["a form", '<form action="https://evil.example"><input name=key><button>Go</button></form>'],
    ["a frame", '<iframe src="https://evil.example"></iframe>'],
    ["a frame with a document", '<iframe srcdoc="<script>alert(1)</script>"></iframe>'],
    ["an object", '<object data="https://evil.example"></object><embed src="x">'],
    ["a meta refresh", '<meta http-equiv="refresh" content="0;url=https://evil.example">'],
    ["a base", '<base href="https://evil.example/">'],
    ["a link to a style sheet", '<link rel="stylesheet" href="https://evil.example/x.css">'],
    ["ids and names", '<p id="app" name="content">Hi</p>'],
    ["a template", "<template><img src=x onerror=alert(1)></template>"],
    ["a video", '<video src="https://evil.example/x.mp4" autoplay></video>'],
    ["a custom element", "<x-hacked>Hi</x-hacked>"],
    ["a class", '<p class="dialog" data-theme="dark">Hi</p>'],
    ["broken nesting", "<div><p><table><td><script>alert(1)</script></p>"],
    ["a comment", "<!-- --!><script>globalThis.hacked=true</script> -->"],
    ["a language of code", '```"><script>globalThis.hacked=true</script>\nx\n```'],
    ["HTML in code", "```html\n<img src=x onerror=alert(1)>\n```"],
] as const;

/** Elements that Markdown and the page's own parts consist of. */
const ALLOWED = new Set(
    (
        "DIV SPAN P BR HR STRONG EM B I U S DEL INS MARK SMALL SUB SUP KBD CODE PRE UL OL LI " +
        "BLOCKQUOTE TABLE THEAD TBODY TR TH TD H3 H4 H5 H6 FIGURE FIGCAPTION BUTTON SVG PATH " +
        "DETAILS SUMMARY"
    ).split(" "),
);

describe("what a hostile model writes", () => {
    it.each(HOSTILE)("does nothing and is not hidden: %s", async (_name, text) => {
        const { body, baseURI } = document;
        await shown(text);
        expect("hacked" in globalThis).toBe(false);
        expect(document.baseURI).toBe(baseURI);
        expect(document.body).toBe(body);
        for (const element of page.querySelectorAll("*")) {
            expect(ALLOWED).toContain(element.tagName.toUpperCase());
            for (const { name } of element.attributes) {
                expect(name).not.toMatch(/^(on|style$|id$|name$|src|href|action|formaction|data-)/);
            }
        }
        expect(page.textContent?.trim()).not.toBe("");
    });

    it("shows HTML that has something forbidden as it was written", async () => {
        const text = '<div onclick="x">Hi</div>';
        expect((await shown(text)).textContent).toBe(text);
    });

    it("shows HTML that only divides and marks text as elements", async () => {
        await shown("<details><summary>More</summary>Text</details>");
        await vi.waitFor(() => expect(page.querySelector("details summary")).not.toBeNull());
        await shown("H<sub>2</sub>O<br>and <kbd>x</kbd>");
        expect(page.querySelector("sub")?.textContent).toBe("2");
    });

    it("shows the direction marks of code", async () => {
        await shown("`a\u202Eb`\n\n```\nc\u2066d\n```");
        expect(page.textContent).toContain("a[U+202E]b");
        expect(page.textContent).toContain("c[U+2066]d");
    });

    it("isolates the direction of each paragraph", async () => {
        await shown("\u202Eabc\n\nnext");
        const paragraphs = [...page.querySelectorAll("p")];
        expect(paragraphs.map((p) => p.dir)).toEqual(["auto", "auto"]);
    });

    it("gives lists, tables and quotes the direction of their first letter", async () => {
        await shown(
            "- 1 שלום\n- two\n\n> مرحبا\n\n| العدد | a |\n|-|-|\n| 1 | b |\n\n1. one\n2. אחת",
        );
        const directions = [...page.querySelectorAll<HTMLElement>("ul, ol, li, blockquote, table")];
        expect(directions.map(({ tagName, dir }) => `${tagName} ${dir}`)).toEqual([
            "UL rtl",
            "LI rtl",
            "LI ltr",
            "BLOCKQUOTE rtl",
            "TABLE rtl",
            "OL ltr",
            "LI ltr",
            "LI rtl",
        ]);
    });

    it("shows the whole address of a link before it is opened", async () => {
        await shown("[bank.example](https://evil.example/\u202Ex)");
        HTMLDialogElement.prototype.showModal ??= () => {};
        await act(() => page.querySelector<HTMLElement>(".link")?.click());
        await act(() => render(<AddressDialog />, page));
        const link = page.querySelector("a")!;
        expect(page.querySelector(".address")?.textContent).toBe("https://evil.example/%E2%80%AEx");
        expect(link.rel).toBe("noopener noreferrer");
        expect(link.target).toBe("_blank");
    });

    it.each([
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "/requests",
        "blob:x",
    ])("offers no way to open %s", (address) => expect(openableAddress(address)).toBeNull());
});

/** Most of these tests take some 50 ms; where a bomb goes off, it takes minutes. */
const SLOW_MS = 30_000;

describe("a bomb of Markdown", () => {
    it.each([
        ["quotes", "> ".repeat(20_000) + "x"],
        ["quotes without spaces", ">".repeat(20_000) + "x"],
        ["lists", "- ".repeat(20_000) + "x"],
        ["numbered lists", "1. ".repeat(10_000) + "x"],
        [
            "nested lists",
            Array.from({ length: 500 }, (_, n) => " ".repeat(2 * n) + "- x").join("\n"),
        ],
        ["brackets", "[".repeat(30_000)],
        ["brackets of links", "[a](".repeat(8_000)],
        ["images", "![".repeat(15_000)],
        ["addresses of images", "![a](".repeat(1_600)],
        ["emphasis", "*a_b ".repeat(8_000)],
        ["emphasis that closes nothing", "**a ".repeat(2_000)],
        ["emphasis of three kinds", "_a __b *c ".repeat(800)],
        ["emphasis within emphasis", "*".repeat(8_000) + "a" + "*".repeat(8_000)],
        ["code marks", Array.from({ length: 120 }, (_, n) => "`".repeat(n + 1)).join(" ")],
        ["struck text", "~~a".repeat(2_500)],
        ["tags", "<a".repeat(20_000)],
        ["comments", "<!--".repeat(15_000)],
        ["a wide table", "|".repeat(5000) + "\n" + "|-".repeat(5000) + "|\n" + "|\n".repeat(5000)],
        ["entities", "&amp;".repeat(10_000)],
        ["backslashes", "\\".repeat(50_000)],
        ["underlines", "a\n" + "=\n".repeat(20_000)],
        ["definitions", "[a]: x\n".repeat(5_000)],
        ["addresses", "http://a.".repeat(5_000)],
        ["addresses of mail", "a@".repeat(20_000)],
        ["a megabyte in a line", "x".repeat(1 << 20)],
        ["a megabyte of words", "word ".repeat(200_000)],
        ["a megabyte of code", "```\n" + "x = 1\n".repeat(170_000)],
    ])("is shown in time: %s", { timeout: SLOW_MS }, async (_name, text) => {
        await shown(text);
        expect(page.textContent?.length).toBeGreaterThan(0);
    });
});

/** Numbers that look random and are the same in every run. */
function random(seed: number): () => number {
    let state = seed;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

const PIECES = [
    ..."abc 1\n\n\n",
    ...["\r\n", "\r", "    ", "\t", "# ", "## x\n", "- ", "* a\n", "1. ", "2. b\n", "10) ", "> "],
    ...["```", "```js\n", "~~~\n", "---\n", "===\n", "| a | b |\n", "|---|---|\n", "|", "<div>"],
    ...["</div>\n", "<!--", "-->\n", "[x](y)", "[a]: b\n", "**", "_", "`", "\\", "&lt;", "word "],
    ...["<script>", "</script>\n", "- [ ] ", "  - n\n", "![", "http://a.b ", "😀"],
];

function randomText(next: () => number, length: number): string {
    return Array.from({ length }, () => PIECES[Math.floor(next() * PIECES.length)]).join("");
}

function split(pieces: string[]): Splitter {
    const splitter = new Splitter();
    for (const piece of pieces) splitter.push(piece);
    return splitter;
}

function cut(text: string, next: () => number): string[] {
    const pieces: string[] = [];
    for (let at = 0; at < text.length;) {
        const end = at + 1 + Math.floor(next() * 8);
        pieces.push(text.slice(at, end));
        at = end;
    }
    return pieces;
}

function html(element: ComponentChildren): string {
    const parent = document.createElement("div");
    render(element, parent);
    const text = parent.innerHTML;
    render(null, parent);
    return text;
}

describe("Markdown that arrives in pieces", { timeout: SLOW_MS }, () => {
    it("has the same blocks however it is cut", () => {
        const next = random(1);
        for (let round = 0; round < 400; round++) {
            const text = randomText(next, 40);
            const whole = split([text]);
            const parts = split(cut(text, next));
            expect([...parts.closed, ...parts.open], JSON.stringify(text)).toEqual([
                ...whole.closed,
                ...whole.open,
            ]);
        }
    });

    it("is shown as if it had been there at once", () => {
        const next = random(2);
        for (let round = 0; round < 200; round++) {
            const text = randomText(next, 40);
            const { closed, open } = split(cut(text, next));
            const parts = [...closed, ...open].map((part) => blocks(lex(part.text)));
            const normal = text.replace(/\r$/, "").replace(/\r\n?/g, "\n");
            expect(html(parts), JSON.stringify(text)).toBe(html(blocks(lex(normal))));
        }
    });

    it("has the same pieces of a block that is too long", () => {
        const next = random(3);
        for (const block of ["x".repeat(100), "word ", "- item\n", "- a\n\n", "> q\n"]) {
            const long = block.repeat(Math.ceil((1.5 * MAX_BLOCK) / block.length));
            for (const text of [`# a\n\n${long}\n\nend\n\n- x`, `\`\`\`\n${long}\n\`\`\`\nend`]) {
                const pieces: string[] = [];
                for (let at = 0; at < text.length;) {
                    const end = at + 1 + Math.floor(next() * 30_000);
                    pieces.push(text.slice(at, end));
                    at = end;
                }
                const parts = split(pieces);
                const whole = split([text]);
                expect([...parts.closed, ...parts.open]).toEqual([...whole.closed, ...whole.open]);
            }
        }
    });

    it("loses no text of a block that is too long", () => {
        const line = `${"😀".repeat(MAX_BLOCK)}\n`;
        const { closed, open } = split([line, "\nend"]);
        const text = [...closed, ...open].map((block) => block.text).join("");
        expect(text.replaceAll("\n", "")).toBe(`${line}end`.replaceAll("\n", ""));
        for (const { text } of closed) expect(() => encodeURIComponent(text)).not.toThrow();
    });

    it("is shown again from the start when it is another text", async () => {
        await shown("# one\n\ntwo\n\nthree");
        await shown("other");
        expect(page.textContent).toBe("other");
    });
});

describe("withoutEntities", () => {
    it.each([
        ["&lt;b&gt; &amp;amp; &#65;&#x42;", "<b> &amp; AB"],
        ["&unknown; &#0; &#xD800; &#x110000;", "&unknown; \uFFFD \uFFFD \uFFFD"],
        ["&toString; &__proto__;", "&toString; &__proto__;"],
    ])("replaces the references in %s", (text, expected) => {
        expect(withoutEntities(text)).toBe(expected);
    });
});
