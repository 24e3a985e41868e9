import { render } from "preact";
import { afterEach, describe, expect, it, vi } from "vitest";

import "../../fakes/browser";
import { RequestsPage } from "../../../src/requests/page";
import { connection, rights } from "../../../src/session";
import { finished, running } from "../../fakes/requests";

/** Answers each call with what `answer` says, and records the calls. */
function serve(answer: (method: string, path: string) => Response): string[] {
    const calls: string[] = [];
    vi.stubGlobal("fetch", async (url: URL, { method }: RequestInit) => {
        calls.push(`${method} ${url.pathname}`);
        return answer(String(method), url.pathname);
    });
    return calls;
}

function show(granted: typeof rights.value): HTMLElement {
    rights.value = granted;
    connection.value = { kind: "open" };
    const host = document.createElement("div");
    document.body.append(host);
    render(<RequestsPage />, host);
    return host;
}

const list = (body: object) => () => new Response(JSON.stringify(body));

afterEach(() => {
    for (const host of document.body.children) render(null, host);
    document.body.replaceChildren();
    vi.unstubAllGlobals();
});

describe("the page of requests", () => {
    it("shows what runs and what ended", async () => {
        serve(list({ running: [running()], finished: [finished()] }));
        const page = show(["infer", "metrics", "admin"]);
        await vi.waitFor(() => expect(page.textContent).toContain("Running and waiting (1)"));
        expect(page.textContent).toContain("127.0.0.1:52114");
        expect(page.textContent).toContain("complete");
    });

    it("aborts a request, and only where the key allows it", async () => {
        const rows = [running({ id: "r-2" }), running({ id: "r-1", can_abort: false })];
        const calls = serve((method) =>
            method === "DELETE"
                ? new Response(null, { status: 204 })
                : new Response(JSON.stringify({ running: rows, finished: [] })),
        );
        const page = show(["admin"]);
        const buttons = () => [...page.querySelectorAll<HTMLElement>("td button")];
        await vi.waitFor(() => expect(buttons()).toHaveLength(1));
        buttons()[0]?.click();
        await vi.waitFor(() => expect(calls).toContain("DELETE /requests/r-2"));
    });

    it("sorts by the column that is chosen", async () => {
        const rows = [running({ id: "a", age_ms: 5 }), running({ id: "b", age_ms: 900 })];
        serve(list({ running: rows, finished: [] }));
        const page = show(["admin"]);
        const header = () =>
            [...page.querySelectorAll("th")].find((cell) => cell.textContent?.startsWith("Age"));
        await vi.waitFor(() => expect(header()).toBeTruthy());
        header()?.querySelector("button")?.click();
        await vi.waitFor(() => expect(header()?.getAttribute("aria-sort")).toBe("ascending"));
        header()?.querySelector("button")?.click();
        await vi.waitFor(() => expect(header()?.getAttribute("aria-sort")).toBe("descending"));
        expect(page.querySelector("tbody tr")?.textContent).toContain("900 ms");
    });

    it("has a column for keys only where a request has one", async () => {
        serve(list({ running: [running({ key: null })], finished: [finished({ key: "web" })] }));
        const page = show(["admin"]);
        await vi.waitFor(() => expect(page.querySelectorAll("table")).toHaveLength(2));
        const heads = [...page.querySelectorAll("table")].map((table) =>
            [...table.querySelectorAll("th")].some((cell) => cell.textContent === "Key"),
        );
        expect(heads).toEqual([false, true]);
    });

    it("says that the server is older where there is no list", async () => {
        serve(() => new Response("not found", { status: 404 }));
        const page = show(["admin"]);
        await vi.waitFor(() => expect(page.textContent).toContain("older than the page"));
    });

    it("says which rights are lacking", async () => {
        serve(() => new Response("no", { status: 403 }));
        const page = show([]);
        await vi.waitFor(() => expect(page.textContent).toContain("“metrics” or “admin”"));
    });

    it("keeps the list when the connection is lost", async () => {
        serve(list({ running: [running()], finished: [] }));
        const page = show(["admin"]);
        await vi.waitFor(() => expect(page.textContent).toContain("127.0.0.1:52114"));
        connection.value = { kind: "lost", code: 1006, reason: "gone", retryAt: Date.now() };
        await vi.waitFor(() => expect(page.textContent).toContain("The list is from"));
        expect(page.textContent).toContain("127.0.0.1:52114");
    });

    it("asks no more once it is left", async () => {
        const calls = serve(list({ running: [], finished: [] }));
        const page = show(["admin"]);
        await vi.waitFor(() => expect(calls).toHaveLength(1));
        render(null, page);
        await new Promise((resolve) => setTimeout(resolve, 1200));
        expect(calls).toHaveLength(1);
    });
});
