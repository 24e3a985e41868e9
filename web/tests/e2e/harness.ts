/** The fixtures of the tests in the browser: servers, the page of each, and steps that many need. */

import { AxeBuilder } from "@axe-core/playwright";
import { test as base, expect, type Locator, type Page } from "@playwright/test";

import { Daemon, KeyFile, startPreview, startScripted, type Server } from "./daemon";

/** A server and the address of its page. */
export interface Site<S extends Server = Server> {
    server: S;
    url: string;
}

interface Fixtures {
    /** Starts a daemon for this test alone, with options of the command line. */
    startDaemon: (options?: readonly string[]) => Promise<Site<Daemon>>;
    /** A file with API keys. */
    keyFile: KeyFile;
    /** What the browser reports as an error. No test may leave any. */
    faults: string[];
}

/** Servers for all tests of a worker, which leave them as they are. */
interface SharedFixtures {
    /** A daemon with the toy model. */
    shared: Site<Daemon>;
    /** A server whose model answers `say TEXT` with TEXT. */
    scripted: Site;
}

export const test = base.extend<Fixtures, SharedFixtures>({
    shared: [
        async ({}, use) => {
            const daemon = await Daemon.start();
            const page = await pageOf(daemon);
            await use({ server: daemon, url: page.url });
            await page.stop();
            await daemon.stop();
        },
        { scope: "worker" },
    ],
    scripted: [
        async ({}, use) => {
            const server = await startScripted();
            const page = await pageOf(server);
            await use({ server, url: page.url });
            await page.stop();
            await server.stop();
        },
        { scope: "worker" },
    ],
    baseURL: ({ shared }, use) => use(shared.url),
    startDaemon: async ({}, use) => {
        const servers: Server[] = [];
        await use(async (options) => {
            const daemon = await Daemon.start(options);
            servers.unshift(daemon);
            const page = await pageOf(daemon);
            servers.unshift(page);
            return { server: daemon, url: page.url };
        });
        for (const server of servers) await server.stop();
    },
    keyFile: async ({}, use) => {
        const file = new KeyFile();
        await use(file);
        file.remove();
    },
    faults: [
        async ({ page }, use) => {
            const faults: string[] = [];
            page.on("pageerror", (error) => faults.push(error.message));
            page.on("console", (message) => {
                const isFault = message.type() === "error" && !EXPECTED.test(message.text());
                if (isFault) faults.push(message.text());
            });
            await use(faults);
            expect(faults).toEqual([]);
        },
        { auto: true },
    ],
});

export { expect };

/** Waits until the page says that the server is ready or computes. */
export async function connected(page: Page): Promise<void> {
    await expect(page.locator(".status")).toHaveText(/Ready|Computing|Listo|Calculando/);
}

/** Opens the page at a part of it, and waits until it is connected. */
export async function open(page: Page, url: string, part = "chat"): Promise<void> {
    await page.goto(new URL(`#/${part}`, url).href);
    await connected(page);
}

/** Opens the page of a server with keys at a part of it, and gives it `key`. */
export async function openWithKey(
    page: Page,
    url: string,
    key: string,
    part?: string,
): Promise<void> {
    await page.goto(new URL(`#/${part ?? "chat"}`, url).href);
    await page.getByRole("textbox", { name: "API key" }).fill(key);
    await page.keyboard.press("Enter");
    await connected(page);
}

/** Opens the settings of the conversation beside the chat. */
export async function openPanel(page: Page): Promise<Locator> {
    const panel = page.locator(".settings-panel");
    const toggle = page.getByRole("button", { name: "Show or hide the settings" });
    // The page remembers whether it showed them.
    if ((await toggle.getAttribute("aria-expanded")) === "false") await toggle.click();
    await expect(panel).toBeVisible();
    return panel;
}

/** The answers that are shown. */
export function answersOn(page: Page): Locator {
    return page.getByRole("article", { name: "Model" });
}

/** Types a message and sends it. */
export async function send(page: Page, text: string): Promise<void> {
    await page.getByRole("textbox", { name: "Message" }).fill(text);
    await page.getByRole("button", { name: "Send", exact: true }).click();
}

/** Sends a message, and waits for the end of the answer. */
export async function ask(page: Page, text: string): Promise<Locator> {
    const answers = answersOn(page);
    const before = await answers.count();
    await send(page, text);
    await expect(answers).toHaveCount(before + 1);
    await ended(answers.last());
    return answers.last();
}

/** Waits for the end of an answer. */
export async function ended(answer: Locator): Promise<void> {
    await expect(answer).not.toHaveAttribute("aria-busy");
    await expect(answer.getByRole("button", { name: "Retry" })).toBeVisible();
}

/** Checks what is shown against WCAG 2.2 AA. */
export async function expectAccessible(page: Page): Promise<void> {
    // Colours on their way to others are no violation.
    await page.emulateMedia({ reducedMotion: "reduce" });
    const { violations } = await new AxeBuilder({ page }).withTags(WCAG).analyze();
    const found = violations.map(({ id, nodes }) => ({
        rule: id,
        at: nodes.map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary}`),
    }));
    expect(found).toEqual([]);
}

/** The page of a server. The daemon serves it, except with PAGE=preview. */
async function pageOf(server: Server): Promise<Server> {
    if (process.env["PAGE"] === "preview") return startPreview(server.url);
    return { url: server.url, stop: () => Promise.resolve() };
}

const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What browsers report while a server is away or refuses something, which the page says in words. */
const EXPECTED =
    /^(?:WebSocket connection to|Failed to load resource: .*(?:40[0134] \(|502 \(|ERR_))/;
