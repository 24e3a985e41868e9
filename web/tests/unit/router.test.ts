import { expect, it, vi } from "vitest";

import { route } from "../../src/router";

it("sends an address that names no part of the page to the chat", async () => {
    location.hash = "#/requests";
    await vi.waitFor(() => expect(route.value).toBe("requests"));
    location.hash = "#/nonsense";
    await vi.waitFor(() => expect(route.value).toBe("chat"));
    expect(location.hash).toBe("#/chat");
});
