import type { Page } from "@playwright/test";

import { fakeDaemon, nextSecond } from "./fake-daemon";
import { ask, expect, expectAccessible, open, openPanel, test } from "./harness";

const PARTS = ["chat", "dashboard", "requests", "settings"] as const;
/** The parts of the panel that are folded at first. */
const FOLDED = ["Format", "Tools", "Sampling", "Penalties", "Probabilities", "Advanced"];
const SIZES = {
    desktop: { width: 1440, height: 900 },
    phone: { width: 390, height: 844 },
} as const;

for (const colorScheme of ["light", "dark"] as const) {
    for (const [device, viewport] of Object.entries(SIZES)) {
        test.describe(`in ${colorScheme} colours on a ${device}`, () => {
            test.use({ colorScheme, viewport });

            for (const part of PARTS) {
                test(`the part ${part} has no violation`, async ({ page, baseURL }) => {
                    await open(page, baseURL!, part);
                    await expectAccessible(page);
                });
            }

            test("no part has a violation on a busy server with GPUs", async ({
                page,
                baseURL,
            }) => {
                await fakeDaemon(page, { answer: ANSWER });
                await open(page, baseURL!);
                await ask(page, "How?");
                await expectAllAccessible(page);
            });

            test("no part has a violation while the model loads", async ({ page, baseURL }) => {
                const loading = { state: "loading", load_progress: 0.4 } as const;
                await fakeDaemon(page, { latest: loading });
                await page.goto(baseURL!);
                await expect(page.getByRole("alert")).toContainText("loads the model");
                await expectAllAccessible(page);
            });

            test("no part has a violation while the connection is lost", async ({
                page,
                baseURL,
            }) => {
                const daemon = await fakeDaemon(page);
                for (const part of PARTS) {
                    await open(page, baseURL!, part);
                }
                await daemon.lose();
                await expect(page.getByRole("alert")).toContainText("lost");
                await expectAllAccessible(page);
            });

            if (device === "phone") {
                test("the drawer of conversations has no violation", async ({ page, baseURL }) => {
                    await fakeDaemon(page, { answer: ANSWER });
                    await open(page, baseURL!);
                    await ask(page, "How?");
                    await page.getByRole("button", { name: "Show the conversations" }).click();
                    await expectAccessible(page);
                });
            }

            test("the settings of a conversation have no violation", async ({ page, baseURL }) => {
                await open(page, baseURL!);
                const panel = await openPanel(page);
                for (const section of FOLDED) {
                    await panel.locator(".section > summary", { hasText: section }).press("Enter");
                }
                await panel.getByLabel("Format", { exact: true }).selectOption("json_schema");
                await panel.getByRole("button", { name: "Add an example" }).click();
                await panel.locator(".tool > summary").press("Enter");
                await panel.getByLabel("Show the probabilities").check();
                await panel.getByLabel("Top K", { exact: true }).fill("many");
                await expectAccessible(page);
            });

            test("the list of shortcuts has no violation", async ({ page, baseURL }) => {
                await open(page, baseURL!, "settings");
                await page.keyboard.press("?");
                await expectAccessible(page);
            });

            test("the question for a key has no violation", async ({
                page,
                startDaemon,
                keyFile,
            }) => {
                const { url } = await startDaemon(["--api-key-file", keyFile.path]);
                await page.goto(url);
                await page.getByRole("dialog").waitFor();
                await expectAccessible(page);
            });
        });
    }
}

/** Goes to each part by its link, and checks it. */
async function expectAllAccessible(page: Page): Promise<void> {
    for (const part of PARTS) {
        await page.locator(`.nav a[href="#/${part}"]`).click();
        await expect(page.getByRole("main").locator("h1")).toBeVisible();
        await nextSecond(page);
        await expectAccessible(page);
    }
}

const ANSWER =
    "Like **this**:\n\n```js\nanswer(42); // yes\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |";
