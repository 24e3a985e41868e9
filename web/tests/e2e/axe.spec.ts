import { expectAccessible, open, openPanel, test } from "./harness";

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
