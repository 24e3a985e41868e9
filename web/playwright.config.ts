import { defineConfig, devices } from "@playwright/test";

/** The tests run in the browser of the system: Playwright downloads none. */
const chromium = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

export default defineConfig({
    testDir: "tests/e2e",
    fullyParallel: true,
    workers: 2,
    // Two browsers and two servers share what may be two cores. A test that fails twice is wrong.
    retries: 1,
    forbidOnly: Boolean(process.env["CI"]),
    timeout: 60_000,
    expect: { timeout: 15_000 },
    reporter: "list",
    // The pictures that the tests compare the page with are those of the documents.
    snapshotPathTemplate: "../docs/screenshots/{arg}{ext}",
    use: {
        ...devices["Desktop Chrome"],
        locale: "en-US",
        // The size that most tests see; others choose theirs.
        viewport: { width: 1440, height: 900 },
        launchOptions: {
            executablePath: chromium,
            // Root cannot use Chromium's sandbox.
            args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
        },
        trace: "retain-on-failure",
    },
});
