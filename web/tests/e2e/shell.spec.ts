import { connected, expect, open, test } from "./harness";

test("the header says the state and the model", async ({ page, baseURL }) => {
    await open(page, baseURL!);
    await expect(page.locator(".status")).toContainText("Ready");
    await expect(page.locator(".status")).toContainText("inference-core demo");
});

test("each part of the page has its address, its title and its link", async ({ page, baseURL }) => {
    await open(page, baseURL!);
    const navigation = page.getByRole("navigation", { name: "Pages" });
    for (const name of ["Dashboard", "Requests", "Settings", "Chat"]) {
        const link = navigation.getByRole("link", { name });
        await link.click();
        await expect(link).toHaveAttribute("aria-current", "page");
        await expect(page).toHaveURL(new RegExp(`#/${name.toLowerCase()}$`));
        await expect(page.getByRole("heading", { level: 1 }).first()).toBeAttached();
    }
});

test("the first press of Tab leads past the navigation", async ({ page, baseURL }) => {
    await open(page, baseURL!, "settings");
    await page.keyboard.press("Tab");
    await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(page.getByRole("main")).toBeFocused();
    await expect(page).toHaveURL(/#\/settings$/);
});

test.describe("shortcuts", () => {
    test("go to each part of the page", async ({ page, baseURL }) => {
        await open(page, baseURL!);
        for (const [key, part] of [
            ["Alt+2", "dashboard"],
            ["Alt+3", "requests"],
            ["Alt+4", "settings"],
            ["Alt+1", "chat"],
        ] as const) {
            await page.keyboard.press(key);
            await expect(page).toHaveURL(new RegExp(`#/${part}$`));
        }
    });

    test("are listed, and Escape closes the list", async ({ page, baseURL }) => {
        await open(page, baseURL!, "settings");
        await page.keyboard.press("?");
        const list = page.getByRole("dialog", { name: "Keyboard shortcuts" });
        await expect(list).toContainText("Go to the dashboard");
        await page.keyboard.press("Escape");
        await expect(list).toBeHidden();
    });
});

test.describe("settings of the page", () => {
    test("the language changes all at once, and stays", async ({ page, baseURL }) => {
        await open(page, baseURL!, "settings");
        await page.getByLabel("Language").selectOption("es");
        await expect(page.locator("html")).toHaveAttribute("lang", "es");
        await expect(page.getByRole("heading", { name: "Ajustes" })).toBeVisible();
        await expect(page.getByRole("link", { name: "Peticiones" })).toBeVisible();
        await page.reload();
        await expect(page.locator(".status")).toContainText("Listo");
    });

    test("the colours change and stay", async ({ page, baseURL }) => {
        await page.emulateMedia({ colorScheme: "light" });
        await open(page, baseURL!, "settings");
        const background = () =>
            page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
        const light = await background();
        await page.getByLabel("Colours").selectOption("dark");
        await expect.poll(background).not.toBe(light);
        const dark = await background();
        await page.reload();
        await connected(page);
        expect(await background()).toBe(dark);
        await page.getByLabel("Colours").selectOption("auto");
        await expect.poll(background).toBe(light);
    });
});

test.describe("a browser in Spanish", () => {
    test.use({ locale: "es-MX" });

    test("gets the page in Spanish", async ({ page, baseURL }) => {
        await page.goto(baseURL!);
        await expect(page.locator(".status")).toContainText("Listo");
        await expect(page.locator("html")).toHaveAttribute("lang", "es");
    });
});

test.describe("a server with keys", () => {
    test("asks for a key, refuses a wrong one and takes the right one", async ({
        page,
        startDaemon,
        keyFile,
    }) => {
        const { url } = await startDaemon(["--api-key-file", keyFile.path]);
        await page.goto(url);
        const dialog = page.getByRole("dialog", { name: "This server needs an API key" });
        await expect(page.locator(".status")).toContainText("Key needed");
        await expect(dialog.getByLabel("API key")).toBeFocused();

        await dialog.getByLabel("API key").fill("ic_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        await dialog.getByRole("button", { name: "Use this key" }).click();
        await expect(dialog).toContainText("The server refused the key");

        await dialog.getByLabel("API key").fill(keyFile.key);
        await dialog.getByRole("button", { name: "Use this key" }).click();
        await connected(page);
        await expect(dialog).toBeHidden();
    });

    test("lets the dialog for the key be closed, and opens it again", async ({
        page,
        startDaemon,
        keyFile,
    }) => {
        const { url } = await startDaemon(["--api-key-file", keyFile.path]);
        await page.goto(url);
        const dialog = page.getByRole("dialog", { name: "This server needs an API key" });
        await expect(dialog).toBeVisible();
        for (const _ of [1, 2]) await page.keyboard.press("Escape");
        await expect(dialog).toBeHidden();
        await expect(page.locator(".composer-notice")).toContainText("needs an API key");
        await page.getByRole("link", { name: "Dashboard" }).click();
        await expect(page.getByRole("main")).toContainText("needs an API key");
        await page.getByRole("link", { name: "Settings" }).click();
        await page.getByRole("main").getByRole("button", { name: "Enter a key" }).click();
        await dialog.getByLabel("API key").fill(keyFile.key);
        await page.keyboard.press("Enter");
        await connected(page);
        await expect(dialog).toBeHidden();
    });

    test("a key lasts as long as the tab, unless it is to be remembered", async ({
        page,
        context,
        startDaemon,
        keyFile,
    }) => {
        const { url } = await startDaemon(["--api-key-file", keyFile.path]);
        await page.goto(url);
        await page.getByRole("textbox", { name: "API key" }).fill(keyFile.key);
        await page.keyboard.press("Enter");
        await connected(page);
        await page.reload();
        await connected(page);

        const other = await context.newPage();
        await other.goto(url);
        await expect(other.locator(".status")).toContainText("Key needed");
        await other.getByRole("textbox", { name: "API key" }).fill(keyFile.key);
        await other.getByLabel("Remember the key").check();
        await other.keyboard.press("Enter");
        await connected(other);

        const third = await context.newPage();
        await open(third, url, "settings");
        await expect(third.getByRole("main")).toContainText(
            "you may use the model and see the dashboard",
        );
        await third.getByRole("button", { name: "Forget the key" }).click();
        await expect(third.locator(".status")).toContainText("Key needed");
        expect(await third.evaluate(() => JSON.stringify(localStorage))).not.toContain(keyFile.key);
    });
});

test.describe("a server that goes away", () => {
    test("is missed, and found again without a hand", async ({ page, startDaemon }) => {
        const { server, url } = await startDaemon();
        await open(page, url, "settings");
        await server.stop();
        await expect(page.getByRole("alert")).toContainText("The connection to the server is lost");
        await expect(page.getByRole("main")).toContainText("inference-core demo");
        await server.start();
        await connected(page);
        await expect(page.getByRole("alert")).toBeEmpty();
    });

    test("leaves all parts of the page, each of them once", async ({ page, startDaemon }) => {
        const { server, url } = await startDaemon();
        const loaded = page.waitForResponse(/\/plot-.*\.js/);
        await open(page, url);
        await loaded;
        await server.stop();
        await expect(page.getByRole("alert")).toContainText("The connection to the server is lost");
        for (const [key, title] of [
            ["Alt+2", "Dashboard"],
            ["Alt+3", "Requests"],
            ["Alt+4", "Settings"],
        ] as const) {
            await page.keyboard.press(key);
            await expect(page.getByRole("heading", { level: 1 })).toHaveText(title);
        }
        await page.keyboard.press("Alt+1");
        await expect(page.getByRole("heading", { level: 1 })).toHaveCount(1);
    });

    test("a part that cannot be loaded says so, and is there after another attempt", async ({
        page,
        baseURL,
    }) => {
        await page.route(/\/assets\/page-.*\.js/, (route) => route.abort());
        await open(page, baseURL!, "dashboard");
        await expect(page.getByRole("main").getByRole("alert")).toContainText("not be loaded");
        await page.unroute(/\/assets\/page-.*\.js/);
        const again = page.getByRole("button", { name: "Try again" });
        await expect(async () => {
            // The page itself may have been quicker.
            if (await again.isVisible()) await again.click({ timeout: 1000 });
            const title = page.getByRole("heading", { level: 1 });
            await expect(title).toHaveText("Dashboard", { timeout: 2000 });
        }).toPass();
        await page.keyboard.press("Alt+1");
        await expect(page.getByRole("heading", { level: 1 })).toHaveCount(1);
    });

    test("a model's process that is killed is replaced, with its cause in words", async ({
        page,
        startDaemon,
    }) => {
        // Metrics come often, so that the short restart is among them.
        const { server, url } = await startDaemon(["--metrics-interval", "100"]);
        await page.addInitScript(collectAlerts);
        await open(page, url);
        const alerts = () => page.evaluate(() => window.alerts.join("\n"));
        // A restart may be over before metrics tell of it; each further one takes longer.
        await expect(async () => {
            server.killRunner();
            const seen = expect.poll(alerts, { timeout: 2000 });
            await seen.toMatch(/process of the model has ended \(.*KILL/);
        }).toPass();
        await connected(page);
    });
});

declare global {
    interface Window {
        /** All that was said in alerts. */
        alerts: string[];
    }
}

/** Keeps what alerts say: a restart can be over before a test looks. */
function collectAlerts(): void {
    window.alerts = [];
    new MutationObserver(() => {
        for (const { textContent } of document.querySelectorAll("[role=alert]")) {
            if (textContent) window.alerts.push(textContent);
        }
    }).observe(document, { childList: true, subtree: true, characterData: true });
}
