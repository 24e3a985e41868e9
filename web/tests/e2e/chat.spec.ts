import { readFile } from "node:fs/promises";

import { answersOn, ask, ended, expect, open, openPanel, send, test } from "./harness";

test("an answer says how it came about", async ({ page, baseURL }) => {
    await open(page, baseURL!);
    const answer = await ask(page, "Tell me a story about a fox.");
    await expect(answer).toContainText(/tok\/s · first after .* · \d+ tokens · prompt \d+/);
});

test("Enter sends, and Shift with Enter begins a line", async ({ page, scripted }) => {
    await open(page, scripted.url);
    const field = page.getByRole("textbox", { name: "Message" });
    await field.fill("say one");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("two");
    await expect(field).toHaveValue("say one\ntwo");
    await page.keyboard.press("Enter");
    await expect(field).toHaveValue("");
    await expect(answersOn(page).last()).toContainText(/one\s*two/);
});

test("Escape stops an answer, and what had come stays", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await send(page, "say loop a b c");
    const answer = answersOn(page).last();
    await expect(answer).toContainText("a b c");
    await page.getByRole("textbox", { name: "Message" }).press("Escape");
    await ended(answer);
    await expect(answer).toContainText("Stopped");
    await expect(answer).toContainText("a b c");
});

test("a retry is a branch, and both can be shown", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say hello");
    await answersOn(page).last().getByRole("button", { name: "Retry" }).click();
    const answer = answersOn(page).last();
    await ended(answer);
    await expect(answersOn(page)).toHaveCount(1);
    const branches = answer.getByRole("group", { name: "Branches" });
    await expect(branches).toContainText("2/2");
    await branches.getByRole("button", { name: "Previous branch" }).click();
    await expect(branches).toContainText("1/2");
});

test("an edited question begins a branch with its own answer", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say first");
    const question = page.getByRole("article", { name: "You" });
    await question.hover();
    await question.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Edit the message" }).fill("say second");
    await page.getByRole("button", { name: "Send as a new branch" }).click();
    await expect(answersOn(page)).toHaveCount(1);
    await expect(answersOn(page)).toContainText("second");
    await question.getByRole("button", { name: "Previous branch" }).click();
    await expect(answersOn(page)).toContainText("first");
});

test("two conversations run at once over one connection", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await send(page, "say loop first");
    await expect(answersOn(page)).toContainText("first");
    await page.getByRole("button", { name: "New chat" }).first().click();
    await expect(answersOn(page)).toHaveCount(0);
    await send(page, "say loop second");
    await expect(answersOn(page)).toContainText("second");
    const list = page.getByRole("navigation", { name: "Conversations" });
    await expect(list.getByRole("img", { name: "The model is answering" })).toHaveCount(2);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await expect(list.getByRole("img", { name: "The model is answering" })).toHaveCount(1);
});

test("an answer that waits says its place in the queue", async ({ page, startDaemon }) => {
    const { url } = await startDaemon(["--parallel", "1"]);
    await open(page, url);
    const panel = await openPanel(page);
    await panel.getByText("Advanced").click();
    await panel.getByLabel("Go on after the end").selectOption("true");
    await send(page, "Tell me a long story.");
    await expect(answersOn(page).locator(".markdown")).not.toBeEmpty();
    await page.getByRole("button", { name: "New chat" }).first().click();
    await send(page, "Me too");
    await expect(answersOn(page)).toContainText("In the queue, position 1");
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await ended(answersOn(page));
    await expect(answersOn(page)).toContainText("Stopped");
});

test("a long prompt shows how much of it is read", async ({ page, startDaemon }) => {
    const { url } = await startDaemon(["--ubatch", "64"]);
    await page.addInitScript(collectWaiting);
    await open(page, url);
    await ask(page, "Once upon a time there was a dog. ".repeat(40));
    const waiting = await page.evaluate(() => window.waiting.join("\n"));
    expect(waiting).toMatch(/Reading the prompt: \d+ of \d+ tokens/);
});

test("a search finds what was said", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say a walrus");
    await page.getByRole("button", { name: "New chat" }).first().click();
    await ask(page, "say a penguin");
    const list = page.getByRole("navigation", { name: "Conversations" });
    await page.getByRole("searchbox").fill("walrus");
    await expect(list.getByRole("listitem")).toHaveCount(1);
    await expect(list).toContainText("walrus");
    await page.getByRole("searchbox").fill("giraffe");
    await expect(list).toContainText("No conversation has this text.");
});

test("a conversation and a draft survive a reload", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say remember me");
    await page.getByRole("textbox", { name: "Message" }).fill("not sent yet");
    await page.reload();
    await expect(answersOn(page)).toContainText("remember me");
    await expect(page.getByRole("textbox", { name: "Message" })).toHaveValue("not sent yet");
    const unsaved = () => Object.keys(localStorage).filter((key) => key.includes("unsaved"));
    expect(await page.evaluate(unsaved)).toEqual([]);
});

test("a reload right after the end of an answer loses nothing", async ({ page, scripted }) => {
    await open(page, scripted.url);
    // The reload comes from the page, in the moment the answer has its buttons.
    await page.evaluate(() => {
        new MutationObserver((_, observer) => {
            if (!document.querySelector(".message-assistant .message-footer")) return;
            observer.disconnect();
            location.reload();
        }).observe(document, { childList: true, subtree: true });
    });
    const isLoaded = page.waitForEvent("load");
    await send(page, "say remember me");
    await isLoaded;
    await expect(answersOn(page)).toContainText("remember me");
    await expect(answersOn(page)).toContainText("tok/s");
});

test("a question that was just sent survives a reload", async ({ page, scripted }) => {
    await open(page, scripted.url);
    const field = page.getByRole("textbox", { name: "Message" });
    await field.fill("say loop a b c");
    await field.evaluate((area: HTMLTextAreaElement) => {
        area.form?.requestSubmit();
        location.reload();
    });
    await expect(page.getByRole("article", { name: "You" })).toContainText("say loop a b c");
    await expect(answersOn(page)).toContainText("The answer was interrupted");
});

test("a deleted conversation can be restored", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say keep me");
    const list = page.getByRole("navigation", { name: "Conversations" });
    await list
        .getByRole("button", { name: /^Delete/ })
        .first()
        .click();
    await expect(answersOn(page)).toHaveCount(0);
    await page.getByRole("button", { name: "Undo" }).click();
    await expect(list).toContainText("keep me");
});

test("an exported conversation can be imported, unless it is there already", async ({
    page,
    scripted,
}) => {
    await open(page, scripted.url);
    await ask(page, "say travel well");
    const waitsForFile = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const path = await (await waitsForFile).path();
    const file = JSON.parse(await readFile(path, "utf8")) as { conversations: unknown[] };
    expect(file.conversations.length).toBeGreaterThan(0);

    const list = page.getByRole("navigation", { name: "Conversations" });
    const said = page.locator(".announcement");
    await page.locator("input[type=file]").setInputFiles(path);
    await expect(said).toContainText("left out: 1");
    await said.getByRole("button", { name: "Close" }).click();
    await expect(said).toBeHidden();
    await expect(list.getByRole("listitem")).toHaveCount(1);

    await list.getByRole("button", { name: "Delete “say travel well”" }).click();
    await expect(list.getByRole("listitem")).toHaveCount(0);
    await page.locator("input[type=file]").setInputFiles(path);
    await expect(said).toHaveText("Conversations added: 1");
    await expect(list.getByRole("listitem")).toHaveCount(1);
});

test("a file that is no export is refused in words", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await page.locator("input[type=file]").setInputFiles({
        name: "other.json",
        mimeType: "application/json",
        buffer: Buffer.from('{"chats": []}'),
    });
    await expect(page.getByRole("main").locator("..")).toContainText(
        "other.json cannot be imported: The file has no conversations of inference-core.",
    );
});

test("a conversation is exported as Markdown", async ({ page, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say **bold** words");
    await page.getByRole("button", { name: "Actions for this conversation" }).click();
    const waitsForFile = page.waitForEvent("download");
    await page.getByRole("menuitem", { name: "Export as Markdown" }).click();
    const download = await waitsForFile;
    expect(download.suggestedFilename()).toMatch(/\.md$/);
    const text = await readFile(await download.path(), "utf8");
    expect(text).toContain("## User\n\nsay **bold** words\n\n## Assistant\n\n**bold** words");
});

test("Markdown is shown, and code can be copied", async ({ page, context, scripted }) => {
    await context.grantPermissions(["clipboard-write"]);
    await open(page, scripted.url);
    const answer = await ask(
        page,
        "say # A title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nlet x;\n```",
    );
    await expect(answer.getByRole("heading", { name: "A title" })).toBeVisible();
    await expect(answer.getByRole("cell", { name: "2" })).toBeVisible();
    await answer.getByRole("button", { name: "Copy the code" }).click();
    await expect(page.getByRole("status").filter({ hasText: "Copied" })).toBeAttached();
    // The page itself may not read the clipboard.
    const field = page.getByRole("textbox", { name: "Message" });
    await field.press("Control+v");
    await expect(field).toHaveValue(/^let x;\s*$/);
});

declare global {
    interface Window {
        /** All that answers have said they wait for. */
        waiting: string[];
    }
}

/** Keeps what answers wait for: it can be over before a test looks. */
function collectWaiting(): void {
    window.waiting = [];
    new MutationObserver(() => {
        for (const { textContent } of document.querySelectorAll(".waiting-for")) {
            if (textContent) window.waiting.push(textContent);
        }
    }).observe(document, { childList: true, subtree: true, characterData: true });
}
