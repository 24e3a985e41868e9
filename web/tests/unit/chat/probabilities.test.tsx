import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";

import {
    destination,
    levelOf,
    meanProbability,
    PAGE,
    Probabilities,
} from "../../../src/chat/probabilities";
import { tokenName, tokenParts } from "../../../src/chat/token-text";
import type { Logprob, TokenLogprob } from "../../../src/protocol";

function token(text: string, p = 0.5, id = 1): TokenLogprob {
    const bytes = [...new TextEncoder().encode(text)];
    return { token: text, id, logprob: Math.log(p), bytes };
}

function withRivals(chosen: TokenLogprob, ...top: TokenLogprob[]): Logprob {
    return { ...chosen, top };
}

describe("the text of a token", () => {
    test.each([
        ["the", "the"],
        [" the", "␣the"],
        ["\n\n", "⏎⏎"],
        ["\t", "⇥"],
        ["\u202Eevil", "<U+202E>evil"],
        ["a\u200Bb", "a<U+200B>b"],
        ["\u00A0", "<U+00A0>"],
        ["\u0000", "<U+0000>"],
        ["", ""],
        ["ñ🙂", "ñ🙂"],
    ])("%j is named %s", (text, name) => {
        expect(tokenName(token(text))).toBe(name);
    });

    test("a part of a character is shown as its bytes", () => {
        expect(tokenName({ ...token("\uFFFD"), bytes: [0xe2, 0x82] })).toBe("<E2 82>");
    });

    test("in running text, a space has a mark only where nothing else is", () => {
        expect(tokenParts(token(" the"), false)).toEqual([
            { text: " the", isMark: false, endsLine: false },
        ]);
        expect(tokenParts(token("  "), false).every(({ isMark }) => isMark)).toBe(true);
    });

    test("a token that is too long is cut", () => {
        expect(tokenName(token("x".repeat(5000))).length).toBeLessThan(300);
    });
});

describe("levels", () => {
    test.each([
        [1, 5],
        [0.9001, 5],
        [0.7, 4],
        [0.4, 3],
        [0.2, 2],
        [0.05, 1],
    ])("a probability of %d has level %d", (p, level) => {
        expect(levelOf(token("a", p))).toBe(level);
    });

    test("minus infinity has the lowest level", () => {
        expect(levelOf({ ...token("a"), logprob: -9999 })).toBe(1);
    });

    test("the mean is geometric", () => {
        expect(meanProbability([token("a", 1), token("b", 0.25)])).toBeCloseTo(0.5);
    });
});

test("keys go through the tokens and stop at the ends", () => {
    expect(destination("ArrowRight", 0, 3)).toBe(1);
    expect(destination("ArrowRight", 2, 3)).toBe(2);
    expect(destination("ArrowLeft", 0, 3)).toBe(0);
    expect(destination("End", 0, 3)).toBe(2);
    expect(destination("PageDown", 10, 9000)).toBe(10 + PAGE);
    expect(destination("a", 0, 3)).toBeNull();
    expect(destination("toString", 0, 3)).toBeNull();
});

describe("the list of tokens", () => {
    const root = document.createElement("div");
    const scrollIntoView = vi.fn();
    beforeAll(() => {
        document.body.append(root);
        Element.prototype.scrollIntoView = scrollIntoView;
    });
    afterEach(() => render(null, root));
    const show = (logprobs: Logprob[]) =>
        act(() => render(<Probabilities logprobs={logprobs} />, root));
    const options = () => [...root.querySelectorAll<HTMLElement>('[role="option"]')];
    const press = (key: string) =>
        act(() => {
            const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
            root.querySelector('[role="listbox"]')!.dispatchEvent(event);
        });

    test("each token says its probability, and the selected one its rivals", async () => {
        const sky = withRivals(
            token(" blue", 0.6, 5),
            token(" blue", 0.6, 5),
            token(" red", 0.3, 6),
        );
        await show([withRivals(token("The", 0.95, 4)), sky]);
        expect(options().map((option) => option.getAttribute("aria-label"))).toEqual([
            "The, 95 %",
            "␣blue, 60 %",
        ]);
        await press("ArrowRight");
        expect(options()[1]!.getAttribute("aria-selected")).toBe("true");
        const rivals = root.querySelector(".rivals")!.textContent;
        expect(rivals).toContain("Token 2 of 2");
        expect(rivals).toContain("␣red30 %");
    });

    test("a chosen token that is not among the likeliest is shown with them", async () => {
        await show([withRivals(token("x", 0.01, 9), token("a", 0.5, 1), token("b", 0.4, 2))]);
        expect(root.querySelectorAll(".rival")).toHaveLength(3);
        expect(root.querySelector(".rival.is-chosen")!.textContent).toContain("x");
    });

    test("what a model writes is text", async () => {
        await show([withRivals(token("<img src=x>", 0.5))]);
        expect(root.querySelector("img")).toBeNull();
    });

    test("ten thousand tokens are shown in pages", async () => {
        await show(Array.from({ length: 10_000 }, (_, n) => withRivals(token(`${n} `, 0.5, n))));
        expect(options()).toHaveLength(PAGE);
        await press("End");
        expect(options().at(-1)!.textContent).toBe("9999 ");
        expect(options().length).toBeLessThanOrEqual(PAGE);
        await vi.waitFor(() => expect(scrollIntoView.mock.contexts).toContain(options().at(-1)));
    });

    test("without tokens there is nothing", async () => {
        await show([]);
        expect(root.textContent).toBe("");
    });
});
