import type { Page } from "@playwright/test";

import { breath, fakeServer, paced } from "./fake-server";
import { answersOn, ended, expect, open, send, test } from "./harness";

// A trace takes pictures of the page, which costs more than the page itself.
test.use({ trace: "off" });

test.setTimeout(120_000);

const MARKDOWN = [
    "## A section\n\n",
    "Some **bold** words, `code` and a [link](https://example.org/) in a paragraph ",
    "that goes on for a while.\n\n",
    "- one\n- two\n  - three\n\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
    "```js\nconst answer = 42;\nfor (const x of list) run(x);\n```\n\n",
].join("");

/** Texts that a careless renderer takes very long for. */
const BOMBS: Record<string, string> = {
    "deep quotes": `${">".repeat(5000)} x`,
    "deep lists": Array.from({ length: 300 }, (_, n) => `${" ".repeat(n)}- x`).join("\n"),
    "open brackets": "[".repeat(50_000),
    "open emphases": "*a _b ".repeat(1300),
    "open images": "![a](".repeat(1600),
    "open code": "`".repeat(20_000),
    "many columns": `|${"a|".repeat(2000)}\n|${"-|".repeat(2000)}\n|${"b|".repeat(2000)}`,
    "a line of a megabyte": "x".repeat(1024 * 1024),
    "a megabyte of words": "word ".repeat(200 * 1024),
};

for (const [name, bomb] of Object.entries(BOMBS)) {
    test(`${name}: the page never stands still`, async ({ page, baseURL }) => {
        await fakeServer(page, async (_, say) => {
            for (let at = 0; at < bomb.length; at += CHUNK) {
                say(bomb.slice(at, at + CHUNK));
                await breath();
            }
            say("\n\nafter all");
        });
        await watchTasks(page);
        await open(page, baseURL!);
        await startTasks(page);
        await send(page, "Go");
        await arrived(page);
        await expect(answersOn(page).last()).toContainText("after all");
        expect(await longestTask(page)).toBeLessThan(STILL_MS);
        const field = page.getByRole("textbox", { name: "Message" });
        await field.fill("still here");
        await expect(field).toHaveValue("still here");
    });
}

test("ten thousand tokens are complete, and the page never stands still", async ({
    page,
    baseURL,
}) => {
    const tokens = MARKDOWN.repeat(Math.ceil(40_000 / MARKDOWN.length)).match(/[^]{1,16}/g) ?? [];
    await fakeServer(page, async (_, say) => {
        for (const [index, token] of tokens.entries()) {
            say(token);
            if (index % 10 === 0) await breath();
        }
        say("\n\nafter all");
    });
    await watchTasks(page);
    await open(page, baseURL!);
    await startTasks(page);
    await send(page, "Go");
    await arrived(page);
    await expect(answersOn(page).last()).toContainText("after all");
    expect(await longestTask(page)).toBeLessThan(STILL_MS);
});

test("eight answers at once leave 60 frames a second", async ({ page, baseURL }) => {
    // A busy machine draws fewer frames, whatever the page does.
    test.skip(!process.env["SPEED"], "timed: set SPEED=1 on a machine that does nothing else");
    const tokens = MARKDOWN.repeat(50).match(/[^]{1,4}/g) ?? [];
    let running = 0;
    await fakeServer(page, async (_, say) => {
        running += 1;
        let at = 0;
        await paced(tokens.length, 60, () => say(tokens[at++] ?? ""));
        running -= 1;
    });
    await open(page, baseURL!);
    for (let n = 1; n <= 8; n += 1) {
        await send(page, `Answer ${n}`);
        await expect.poll(() => running).toBe(n);
        if (n < 8) await page.getByRole("button", { name: "New chat" }).first().click();
    }
    const frames = await frameTimes(page, 240);
    expect(running).toBe(8);
    expect(frames.median).toBeLessThan(FRAME_MS);
    expect(frames.slowest5Percent).toBeLessThan(10 * FRAME_MS);
});

/** Waits for the end of an answer. The tests' own socket takes the most time of it. */
async function arrived(page: Page): Promise<void> {
    const answer = answersOn(page).last();
    await expect(answer).not.toHaveAttribute("aria-busy", { timeout: ARRIVED_MS });
    await ended(answer);
}

/** Collects the durations of tasks that keep the page from answering. */
async function watchTasks(page: Page): Promise<void> {
    await page.addInitScript(() => {
        window.longTasks = [];
        new PerformanceObserver((list) => {
            window.longTasks.push(...list.getEntries().map(({ duration }) => duration));
        }).observe({ type: "longtask" });
    });
}

/** Forgets the tasks of the start. */
function startTasks(page: Page): Promise<void> {
    return page.evaluate(() => {
        window.longTasks = [];
    });
}

function longestTask(page: Page): Promise<number> {
    return page.evaluate(() => Math.max(0, ...window.longTasks));
}

/** The times between `count` frames: the middle one, and that which one in twenty exceeds. */
function frameTimes(
    page: Page,
    count: number,
): Promise<{ median: number; slowest5Percent: number }> {
    return page.evaluate(
        (count) =>
            new Promise<{ median: number; slowest5Percent: number }>((resolve) => {
                const times: number[] = [];
                let last = performance.now();
                const next = (now: number) => {
                    times.push(now - last);
                    last = now;
                    if (times.length < count) return requestAnimationFrame(next);
                    times.sort((a, b) => a - b);
                    const at = (share: number) => times[Math.floor(times.length * share)] ?? 0;
                    return resolve({ median: at(0.5), slowest5Percent: at(0.95) });
                };
                requestAnimationFrame(next);
            }),
        count,
    );
}

/** A frame of 60 a second, and a little for the clock. */
const FRAME_MS = 18;

/**
 * The longest time in which a page may do nothing else. Far above what it takes on a machine with
 * nothing else to do, and far below what a careless renderer takes.
 */
const STILL_MS = 5000;

/** How long an answer may take to arrive on a machine that does much else. */
const ARRIVED_MS = 80_000;

/** Characters of a frame: a server joins tokens for a client that is slow. */
const CHUNK = 4096;

declare global {
    interface Window {
        longTasks: number[];
    }
}
