import { answersOn, ask, ended, expect, open, openPanel, send, test } from "./harness";

test.describe("the settings of a conversation", () => {
    test("reach the model: a text of one of two choices", async ({ page, baseURL }) => {
        await open(page, baseURL!);
        const panel = await openPanel(page);
        await panel.getByText("Format of the answer").click();
        await panel.getByLabel("Format", { exact: true }).selectOption("choice");
        const answer = await ask(page, "Is the sky blue?");
        await expect(answer.locator(".markdown")).toHaveText(/^(yes|no)$/);
    });

    test("reach the model: JSON that fits a schema", async ({ page, baseURL }) => {
        await open(page, baseURL!);
        const panel = await openPanel(page);
        await panel.getByText("Format of the answer").click();
        await panel.getByLabel("Format", { exact: true }).selectOption("json_schema");
        await panel
            .getByLabel("JSON schema", { exact: true })
            .fill(
                '{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}',
            );
        const answer = await ask(page, "Answer.");
        // As a block of code, with its line breaks.
        await expect(answer.locator("pre")).toHaveText(/^\{\s*"ok": (true|false)\s*\}$/);
    });

    test("a fault of the schema is shown with its line, and nothing is lost", async ({
        page,
        baseURL,
    }) => {
        await open(page, baseURL!);
        const panel = await openPanel(page);
        await panel.getByText("Format of the answer").click();
        await panel.getByLabel("Format", { exact: true }).selectOption("json_schema");
        const editor = panel.getByLabel("JSON schema", { exact: true });
        await editor.fill('{\n  "type": "object"\n  "a": 1\n}');
        await expect(editor).toHaveAccessibleDescription(/Line 3, column 3: a comma/);
        await editor.fill('{"if": {}}');
        await expect(editor).toHaveAccessibleDescription(/cannot enforce “if” at #\/if/);
        await expect(editor).toHaveAttribute("aria-invalid", "true");
        await expect(editor).toHaveValue('{"if": {}}');
    });

    test("nothing is sent while a value is out of its range, and the page says why", async ({
        page,
        baseURL,
    }) => {
        await open(page, baseURL!);
        const panel = await openPanel(page);
        const field = panel.getByLabel("Temperature", { exact: true });
        await field.fill("11");
        await expect(field).toHaveAccessibleDescription("Enter a number from 0 to 10.");
        await send(page, "Hello");
        await expect(page.locator(".composer-notice")).toContainText("Temperature: Enter a number");
        await expect(page.getByRole("textbox", { name: "Message" })).toHaveValue("Hello");
        await field.fill("1");
        await expect(page.locator(".composer-notice")).toBeHidden();
        const answer = await ask(page, "Hello");
        await expect(answer).not.toContainText("There is no answer");
    });

    test("a limit of tokens cuts the answer, and survives a reload", async ({ page, baseURL }) => {
        await open(page, baseURL!);
        let panel = await openPanel(page);
        await panel.getByLabel("Longest answer", { exact: true }).fill("3");
        const answer = await ask(page, "Once upon a time");
        await expect(answer).toContainText("Cut at the token limit");
        await expect(answer).toContainText("3 tokens");
        await page.reload();
        panel = await openPanel(page);
        await expect(panel.getByLabel("Longest answer", { exact: true })).toHaveValue("3");
        await panel.getByRole("button", { name: "Reset “Longest answer”" }).click();
        await expect(panel.getByLabel("Longest answer", { exact: true })).toHaveValue("");
    });

    test("the same seed gives the same answer", async ({ page, baseURL }) => {
        await open(page, baseURL!);
        const panel = await openPanel(page);
        await panel.getByLabel("Seed", { exact: true }).fill("7");
        await panel.getByLabel("Longest answer", { exact: true }).fill("12");
        await panel.getByText("Advanced").click();
        await panel.getByLabel("Guess ahead", { exact: true }).selectOption("off");
        await panel.getByLabel("Reuse the prompt", { exact: true }).selectOption("false");
        const texts: string[] = [];
        for (let n = 0; n < 2; n += 1) {
            await page.getByRole("button", { name: "New chat" }).first().click();
            await panel.getByLabel("Seed", { exact: true }).fill("7");
            await panel.getByLabel("Longest answer", { exact: true }).fill("12");
            const answer = await ask(page, "Tell me a story");
            texts.push(await answer.locator(".markdown").innerText());
        }
        expect(texts[1]).toBe(texts[0]);
    });

    test("a tool answers with the text that was given for it", async ({ page, scripted }) => {
        await open(page, scripted.url);
        const panel = await openPanel(page);
        await panel.getByText("Tools", { exact: true }).click();
        await panel.getByRole("button", { name: "Add an example" }).click();
        await page
            .getByRole("textbox", { name: "Message" })
            .fill(
                'say <tool_call>{"name": "get_weather", "arguments": {"town": "Lima"}}</tool_call>',
            );
        await page.keyboard.press("Enter");
        await expect(page.getByText("Calls get_weather")).toBeVisible();
        await expect(page.getByText("Result of get_weather")).toBeVisible();
        await expect(page.getByRole("main")).toContainText("sunny");
    });

    test("a call of a tool without a result asks for one, and the model goes on", async ({
        page,
        scripted,
    }) => {
        await open(page, scripted.url);
        const panel = await openPanel(page);
        await panel.getByText("Tools", { exact: true }).click();
        await panel.getByRole("button", { name: "Add an example" }).click();
        await panel.getByText("get_weather", { exact: true }).click();
        await panel.getByLabel("Ask me for the result of each call").check();
        await send(
            page,
            'say <tool_call>{"name": "get_weather", "arguments": {"town": "Lima"}}</tool_call>',
        );
        await expect(page.locator(".composer")).toContainText("The model has called tools");
        await page.getByLabel("Result of get_weather").fill("a storm");
        await page.getByRole("button", { name: "Send the results" }).click();
        await ended(answersOn(page).last());
        await expect(answersOn(page).last()).toContainText("tool: a storm");
    });

    test("a text that is wrong stays in its conversation", async ({ page, scripted }) => {
        await open(page, scripted.url);
        await ask(page, "say hello");
        const panel = await openPanel(page);
        const field = panel.getByLabel("Temperature", { exact: true });
        await field.fill("11");
        await expect(field).toHaveAttribute("aria-invalid", "true");
        await page.getByRole("button", { name: "New chat" }).first().click();
        await expect(field).toHaveValue("");
        await expect(field).not.toHaveAttribute("aria-invalid", "true");
    });

    test("can be used with the keyboard alone", async ({ page, baseURL }) => {
        await open(page, baseURL!);
        const panel = await openPanel(page);
        const field = panel.getByLabel("Stop strings", { exact: true });
        await field.focus();
        await page.keyboard.type("\\n\\n");
        await page.keyboard.press("Enter");
        await expect(panel.getByRole("list", { name: "Stop strings" })).toContainText("\\n\\n");
        await page.keyboard.press("Tab");
        await page.keyboard.press("Enter");
        await expect(panel.getByRole("list", { name: "Stop strings" })).toBeHidden();
    });
});

test.describe("probabilities", () => {
    test("each token shows its rivals, and arrow keys go through them", async ({
        page,
        baseURL,
    }) => {
        await open(page, baseURL!);
        const panel = await openPanel(page);
        await panel.getByText("Probabilities", { exact: true }).click();
        await panel.getByLabel("Show the probabilities of tokens").check();
        await panel.getByLabel("Longest answer", { exact: true }).fill("8");
        const answer = await ask(page, "Once upon a time");
        await answer.getByRole("button", { name: "Probabilities" }).click();
        const tokens = answer.getByRole("listbox", { name: "Tokens and their probabilities" });
        await expect(tokens.getByRole("option")).toHaveCount(8);
        await tokens.focus();
        await page.keyboard.press("ArrowRight");
        await expect(answer).toContainText("Token 2 of 8");
        await tokens.getByRole("option").nth(4).hover();
        await expect(answer).toContainText("Token 5 of 8");
        await expect(answer.locator(".rival")).not.toHaveCount(0);
        await page.keyboard.press("End");
        await expect(answer).toContainText("Token 8 of 8");
    });
});
