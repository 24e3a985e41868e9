import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, describe, expect, it, vi } from "vitest";

import { later, lazy, loadAll } from "../../../src/ui/lazy";

const host = document.createElement("div");
document.body.append(host);
afterEach(() => render(null, host));

const Part = ({ name }: { name: string }) => <h1>{name}</h1>;

describe("a part that is loaded later", () => {
    it("says that it cannot be loaded, and is there after another attempt", async () => {
        const load = vi.fn(async () => Part).mockRejectedValueOnce(new TypeError("no network"));
        const Lazy = lazy(load);
        await act(() => render(<Lazy name="Dashboard" />, host));
        await vi.waitFor(() => expect(host.querySelector("[role=alert]")).not.toBeNull());
        expect(host.textContent).toContain("could not be loaded");
        await act(() => host.querySelector("button")?.click());
        await vi.waitFor(() => expect(host.querySelectorAll("h1")).toHaveLength(1));
        expect(host.textContent).toBe("Dashboard");
    });

    it("is loaded with all others, before anybody looks, and again after a failure", async () => {
        const load = vi.fn(async () => Part).mockRejectedValueOnce(new TypeError("no network"));
        const Lazy = lazy(load);
        const nested = vi.fn(async () => {});
        later(async () => {
            later(nested);
        });
        loadAll();
        await vi.waitFor(() => expect(nested).toHaveBeenCalled());
        loadAll();
        await vi.waitFor(() => expect(load).toHaveBeenCalledTimes(2));
        await act(() => render(<Lazy name="Requests" />, host));
        expect(host.textContent).toBe("Requests");
    });
});
