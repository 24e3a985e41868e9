import type { Page } from "@playwright/test";

import { expect, open, openWithKey, send, test } from "./harness";

const chart = (page: Page, title: string) => page.getByRole("figure", { name: title, exact: true });

/** Waits until what a chart shows has changed. */
async function expectMoving(page: Page, title: string): Promise<void> {
    const canvas = chart(page, title).locator("canvas");
    await expect(canvas).toBeVisible();
    const picture = () => canvas.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
    const before = await picture();
    await expect.poll(picture).not.toBe(before);
}

test("the charts move while an answer runs, and their tables have the values", async ({
    page,
    context,
    scripted,
}) => {
    const other = await context.newPage();
    await open(other, scripted.url);
    await send(other, "say loop a b c");
    await open(page, scripted.url, "dashboard");
    for (const title of ["Tokens per second", "Requests", "KV cache, tokens"]) {
        await expectMoving(page, title);
    }
    await expect(page.locator(".state-name")).toHaveText("Computing");
    const requests = chart(page, "Requests");
    await requests.getByText("Show as table").click();
    await expect(requests.getByRole("row").nth(1)).toContainText(/\d\d:\d\d:\d\d\s*1\s*0/);
});

test("the keyboard chooses a time of a chart, whose values are read out", async ({
    page,
    baseURL,
}) => {
    await open(page, baseURL!, "dashboard");
    const slider = page.getByRole("slider", { name: "Requests: time" });
    await expect(page.locator(".chart-plot canvas").first()).toBeVisible();
    await slider.press("Home");
    await expect(slider).toHaveAttribute("aria-valuenow", "0");
    await expect(slider).toHaveAttribute(
        "aria-valuetext",
        /^\d\d:\d\d:\d\d\. in a slot: \d+, waiting: \d+$/,
    );
});

test("a machine without a GPU says what that means", async ({ page, baseURL }) => {
    await open(page, baseURL!, "dashboard");
    await expect(page.getByText("No GPU is in use")).toContainText("docs/BUILD.md");
});

test.describe("the memory plan", () => {
    test("shows what other options would change, and goes back", async ({ page, baseURL }) => {
        await open(page, baseURL!, "dashboard");
        await page.getByLabel("Slots", { exact: true }).fill("8");
        const changes = page.getByRole("table").filter({ hasText: "What changes" });
        await expect(changes.getByRole("row", { name: /^Slots/ })).toHaveText(/4\s*8/);
        await page.getByRole("button", { name: "Back to the present plan" }).click();
        await expect(changes).toBeHidden();
    });

    test("assumes another GPU", async ({ page, baseURL }) => {
        await open(page, baseURL!, "dashboard");
        await page.getByLabel("GPU", { exact: true }).selectOption("8 GiB");
        await expect(page.getByRole("heading", { name: "GPU 0" })).toBeVisible();
        await expect(page.getByText(/^7 of 7 layers on GPUs/)).toBeVisible();
    });

    test("says the server's reason against a wrong value", async ({ page, baseURL }) => {
        await open(page, baseURL!, "dashboard");
        await page.getByLabel("Context per request").fill("999999");
        await expect(page.getByText("use at most 1024")).toBeVisible();
    });
});

test.describe("a key without the right “metrics”", () => {
    test("sees the state, and what it lacks", async ({ page, startDaemon, keyFile }) => {
        const key = keyFile.add("reader", "infer");
        const { url } = await startDaemon(["--api-key-file", keyFile.path]);
        await openWithKey(page, url, key, "dashboard");
        await expect(
            page.getByText("Your key lacks the right “metrics”: the server"),
        ).toBeVisible();
        await expect(page.getByText("which the memory plan needs")).toBeVisible();
        await expect(page.locator(".chart")).toHaveCount(0);
    });
});

test("a process of the model that is killed is shown with its cause, and stays in the strip", async ({
    page,
    startDaemon,
}) => {
    // Metrics come often, so that the short restart is among them.
    const { server, url } = await startDaemon(["--metrics-interval", "100"]);
    await page.addInitScript(collectStates);
    await open(page, url, "dashboard");
    await expect(page.locator(".state-name")).toHaveText("Ready");
    const states = () => page.evaluate(() => window.states.join("\n"));
    // A restart may be over before metrics tell of it; each further one takes longer.
    await expect(async () => {
        server.killRunner();
        const seen = expect.poll(states, { timeout: 2000 });
        await seen.toMatch(/^restarting: .*KILL/m);
    }).toPass();
    await expect(page.locator(".state-name")).toHaveText("Ready");
    const panel = page.getByRole("region", { name: "State" });
    await expect(panel.locator('.strip > [data-state="restarting"]').first()).toBeVisible();
    await panel.getByText("Show as table").click();
    await expect(panel.getByRole("row").filter({ hasText: "KILL" }).first()).toBeVisible();
});

declare global {
    interface Window {
        /** All states that the panel showed, with their details. */
        states: string[];
    }
}

/** Keeps what the panel of the state says: a restart can be over before a test looks. */
function collectStates(): void {
    window.states = [];
    new MutationObserver(() => {
        const panel = document.querySelector<HTMLElement>(".state-panel");
        const details = panel?.querySelector(".state-details")?.textContent;
        if (panel) window.states.push(`${panel.dataset["state"]}: ${details}`);
    }).observe(document, {
        attributes: true,
        childList: true,
        subtree: true,
        characterData: true,
    });
}
