import type { Page } from "@playwright/test";

import { answersOn, ask, expect, open, test } from "./harness";

const conversations = (page: Page) =>
    page.getByRole("navigation", { name: "Conversations" }).getByRole("listitem");

test("two tabs keep both of their conversations", async ({ page, context, scripted }) => {
    const other = await context.newPage();
    await open(page, scripted.url);
    await open(other, scripted.url);
    await page.getByRole("button", { name: "New chat" }).first().click();
    await other.getByRole("button", { name: "New chat" }).first().click();
    await Promise.all([ask(page, "say from the first"), ask(other, "say from the second")]);
    for (const tab of [page, other]) {
        await expect(conversations(tab).filter({ hasText: "from the first" })).toHaveCount(1);
        await expect(conversations(tab).filter({ hasText: "from the second" })).toHaveCount(1);
    }
    await page.reload();
    await expect(conversations(page).filter({ hasText: "from the second" })).toHaveCount(1);
});

test("a conversation goes on in another tab", async ({ page, context, scripted }) => {
    await open(page, scripted.url);
    await ask(page, "say one");
    const other = await context.newPage();
    await open(other, scripted.url);
    await conversations(other).filter({ hasText: "say one" }).getByRole("button").first().click();
    await expect(answersOn(other)).toHaveCount(1);
    await ask(other, "say two");
    await expect(answersOn(page)).toHaveCount(2);
    await expect(answersOn(page).last()).toContainText("two");
});

test("a conversation that one tab deletes is gone in the other", async ({
    page,
    context,
    scripted,
}) => {
    await open(page, scripted.url);
    await ask(page, "say goodbye");
    const other = await context.newPage();
    await open(other, scripted.url);
    await expect(conversations(other).filter({ hasText: "goodbye" })).toHaveCount(1);
    await page.getByRole("button", { name: /^Delete .*goodbye/ }).click();
    await expect(conversations(other).filter({ hasText: "goodbye" })).toHaveCount(0);
});
