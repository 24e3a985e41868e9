import type { Daemon } from "./daemon";
import { answersOn, ask, connected, ended, expect, open, openPanel, send, test } from "./harness";

test("a killed process of the model ends the answer in words, and the next one works", async ({
    page,
    startDaemon,
}) => {
    const { server, url } = await startDaemon();
    await open(page, url);
    const panel = await openPanel(page);
    await panel.getByText("Advanced").click();
    await panel.getByLabel("Go on after the end").selectOption("true");
    await send(page, "Tell me a long story.");
    const answer = answersOn(page).last();
    await expect(answer.locator(".markdown")).not.toBeEmpty();
    server.killRunner();
    await ended(answer);
    await expect(answer).toContainText("The answer broke off");
    await expect(answer.locator(".markdown")).not.toBeEmpty();
    await expect(answer.getByRole("button", { name: "Continue" })).toBeVisible();
    await connected(page);
    await panel.getByLabel("Longest answer", { exact: true }).fill("5");
    await answer.getByRole("button", { name: "Retry" }).click();
    await ended(answersOn(page).last());
    await expect(answersOn(page).last()).toContainText("5 tokens");
});

for (const [name, leave, words] of [
    ["that shuts down", (daemon: Daemon) => daemon.stop(), "The answer broke off"],
    ["that is gone at once", (daemon: Daemon) => daemon.kill(), "The answer was interrupted"],
] as const) {
    test(`a server ${name} leaves what had arrived, and a retry works after it is back`, async ({
        page,
        startDaemon,
    }) => {
        const { server, url } = await startDaemon(["--drain-timeout", "0"]);
        await open(page, url);
        const panel = await openPanel(page);
        await panel.getByText("Advanced").click();
        await panel.getByLabel("Go on after the end").selectOption("true");
        await send(page, "Tell me a long story.");
        const answer = answersOn(page).last();
        await expect(answer.locator(".markdown")).not.toBeEmpty();
        await leave(server);
        await ended(answer);
        await expect(answer).toContainText(words);
        const text = () => answer.locator(".markdown").innerText();
        const arrived = await text();
        await server.start();
        await connected(page);
        expect(await text()).toBe(arrived);
        await panel.getByLabel("Longest answer", { exact: true }).fill("5");
        await answer.getByRole("button", { name: "Retry" }).click();
        await ended(answersOn(page).last());
        await expect(answersOn(page).last()).toContainText("5 tokens");
    });
}

test("a message that is sent while the server is away waits for it", async ({
    page,
    startDaemon,
}) => {
    const { server, url } = await startDaemon();
    await open(page, url);
    const panel = await openPanel(page);
    await panel.getByLabel("Longest answer", { exact: true }).fill("5");
    await server.stop();
    await expect(page.locator(".status")).toContainText("No connection");
    await send(page, "Hello");
    await expect(answersOn(page)).toContainText("Waiting for the connection");
    await server.start();
    await ended(answersOn(page).last());
    await expect(answersOn(page).last()).toContainText("5 tokens");
});

test("a page that is closed during an answer shows it as interrupted", async ({
    page,
    scripted,
}) => {
    await open(page, scripted.url);
    await ask(page, "say before");
    await send(page, "say loop a b c");
    await expect(answersOn(page).last()).toContainText("a b c");
    await page.reload();
    await expect(answersOn(page).last()).toContainText("a b c");
    await expect(answersOn(page).last()).toContainText("The answer was interrupted");
    await expect(answersOn(page).last().getByRole("button", { name: "Retry" })).toBeVisible();
});
