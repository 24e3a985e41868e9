import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import {
    finishedColumns,
    nextSorting,
    runningColumns,
    sorted,
} from "../../../src/requests/columns";
import { outcomeWords, surfaceWords } from "../../../src/requests/words";
import { finished, running } from "../../fakes/requests";

describe("sorting", () => {
    const rows = [
        finished({ id: "a", ttft_ms: 30, client: "10.0.0.10:1" }),
        finished({ id: "b", ttft_ms: null, client: "10.0.0.9:1" }),
        finished({ id: "c", ttft_ms: 4, client: "10.0.0.9:1" }),
    ];
    const ids = (column: string, isDescending: boolean) =>
        sorted(rows, finishedColumns, { column, isDescending }).map(({ id }) => id);

    it("has rows without a value last in both directions", () => {
        expect(ids("first-token", false)).toEqual(["c", "a", "b"]);
        expect(ids("first-token", true)).toEqual(["a", "c", "b"]);
    });

    it("compares the numbers in a text as numbers, and keeps the order of equals", () => {
        expect(ids("client", false)).toEqual(["b", "c", "a"]);
    });

    it("leaves the order of the server where no column is chosen", () => {
        expect(sorted(rows, finishedColumns, null)).toBe(rows);
    });

    it("goes up, then down, then back to the order of the server", () => {
        const up = nextSorting(null, "age");
        const down = nextSorting(up, "age");
        expect([up?.isDescending, down?.isDescending]).toEqual([false, true]);
        expect(nextSorting(down, "age")).toBeNull();
        expect(nextSorting(down, "state")).toEqual({ column: "state", isDescending: false });
    });
});

describe("the texts of a request", () => {
    it("are a dash where nothing is known", () => {
        const prompt = runningColumns.find(({ id }) => id === "prompt");
        expect(prompt?.text(running({ prompt_tokens: null }))).toBe("–");
        expect(prompt?.text(running({ prompt_tokens: 12_044 }))).toBe("12,044");
    });

    it.each([
        [finished({ finish_reason: "stop" }), "complete"],
        [finished({ finish_reason: "max_tokens" }), "cut at the token limit"],
        [finished({ finish_reason: "error", error: "slow_client" }), "failed: client did not read"],
        [finished({ finish_reason: "error", error: "new_code" }), "failed: new_code"],
        [finished({ finish_reason: "new_reason" as "stop" }), "ended"],
    ])("say how it ended", (request, text) => expect(outcomeWords(request)).toBe(text));

    it("show an interface of a newer server as it is", () => {
        expect(surfaceWords("messages")).toBe("Messages");
        expect(surfaceWords("embeddings")).toBe("embeddings");
    });
});
