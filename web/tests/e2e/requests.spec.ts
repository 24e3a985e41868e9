import type { Locator, Page } from "@playwright/test";

import { answersOn, ask, ended, expect, open, openPanel, openWithKey, send, test } from "./harness";

const running = (page: Page) => page.getByRole("region", { name: /^Running and waiting/ });
const finished = (page: Page) => page.getByRole("region", { name: /^Ended/ });
const rowsOf = (list: Locator) => list.locator("tbody tr");

test("a request that runs is listed, and stopping it ends the answer in another tab", async ({
    page,
    context,
    scripted,
}) => {
    const chat = await context.newPage();
    await open(chat, scripted.url);
    await send(chat, "say loop a b c");
    const answer = answersOn(chat).last();
    await expect(answer).toContainText("a b c");

    await open(page, scripted.url, "requests");
    const row = rowsOf(running(page)).first();
    await expect(row).toContainText(/answering.*WebSocket/);
    await row.getByRole("button", { name: /^Stop request r-/ }).click();
    await ended(answer);
    await expect(answer).toContainText("Stopped elsewhere");
    await expect(page.getByText("Nothing runs or waits.")).toBeVisible();
    await expect(rowsOf(finished(page)).first()).toContainText("stopped");
});

test("requests of all interfaces are listed with how they ended", async ({
    page,
    request,
    startDaemon,
}) => {
    const { server, url } = await startDaemon();
    const body = { messages: [{ role: "user", content: "Hello" }], max_tokens: 3 };
    const answer = await request.post(`${server.url}/v1/chat/completions`, { data: body });
    expect(answer.ok()).toBe(true);
    await open(page, url, "requests");
    await expect(rowsOf(finished(page))).toHaveCount(1);
    await expect(rowsOf(finished(page))).toContainText(/cut at the token limit.*Chat completions/);
    await expect(page.getByRole("columnheader", { name: "Key" })).toHaveCount(0);
    await expect(page.getByRole("main")).not.toContainText("Hello");
});

test("the list is sorted by the column that is chosen", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say short");
    await ask(page, `say ${"long ".repeat(40)}`);
    await page.getByRole("link", { name: "Requests" }).click();
    const head = page.getByRole("columnheader", { name: "Tokens", exact: true });
    await head.getByRole("button").click();
    await expect(head).toHaveAttribute("aria-sort", "ascending");
    const first = rowsOf(finished(page)).first();
    const least = await first.textContent();
    await head.getByRole("button").click();
    await expect(head).toHaveAttribute("aria-sort", "descending");
    await expect(first).not.toHaveText(least!);
});

test.describe("on a phone", () => {
    test.use({ viewport: { width: 390, height: 844 } });

    test("the requests are cards, and none is cut off", async ({ page, scripted }) => {
        await open(page, scripted.url);
        await ask(page, "say hello");
        await page.goto(new URL("#/requests", scripted.url).href);
        await expect(page.getByRole("list", { name: /^Ended/ })).toContainText("complete");
        const overflow = () =>
            page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(await overflow()).toBeLessThanOrEqual(0);
    });
});

test.describe("with keys", () => {
    test("each key sees and stops what its rights allow", async ({
        page,
        browser,
        startDaemon,
        keyFile,
    }) => {
        const keys = {
            infer: keyFile.add("reader", "infer"),
            metrics: keyFile.add("watcher", "metrics"),
            admin: keyFile.add("owner", "admin"),
        };
        const { url } = await startDaemon(["--api-key-file", keyFile.path]);
        const list = async (key: string) => {
            const tab = await browser.newPage();
            await openWithKey(tab, url, key, "requests");
            return tab;
        };
        const stop = { name: /^Stop request/ };

        const infer = await list(keys.infer);
        const metrics = await list(keys.metrics);
        const admin = await list(keys.admin);

        // The answer is as long as the context of the toy model: a few seconds.
        await openWithKey(page, url, keyFile.key);
        await (await openPanel(page)).getByText("Advanced").click();
        await page.getByLabel("Go on after the end").selectOption("true");
        await send(page, "Tell me a long story.");
        const answer = answersOn(page).last();
        await expect(rowsOf(running(metrics))).toContainText("web");
        await expect(metrics.getByRole("button", stop)).toHaveCount(0);
        await expect(infer.getByText("only the requests of your own key")).toBeVisible();
        await expect(infer.getByText("Nothing runs or waits.")).toBeVisible();

        await admin.getByRole("button", stop).click();
        await ended(answer);
        await expect(answer).toContainText("Stopped");
        for (const tab of [infer, metrics, admin]) await tab.close();
    });
});
