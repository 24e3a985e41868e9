import { render } from "preact";
import { useState } from "preact/hooks";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { SettingsPanel } from "../../../src/chat/settings-panel";
import { DEFAULT_SETTINGS, type ChatSettings } from "../../../src/chat/types";

const hello = vi.hoisted(() => ({ current: null as unknown }));
vi.mock("../../../src/session", () => ({
    hello: {
        get value() {
            return hello.current;
        },
    },
}));

const root = document.createElement("div");
let settings: ChatSettings;

function Panel({ initial }: { initial: ChatSettings }) {
    const [value, setValue] = useState(initial);
    settings = value;
    return <SettingsPanel settings={value} onChange={setValue} />;
}

beforeEach(() => document.body.append(root));
afterEach(() => {
    render(null, root);
    root.remove();
    hello.current = null;
});

const show = (part: Partial<ChatSettings> = {}) =>
    act(() => render(<Panel initial={{ ...DEFAULT_SETTINGS, ...part }} />, root));

/** The control that `label` names. */
function control<E extends HTMLElement = HTMLInputElement>(label: string): E {
    const named = root.querySelector<E>(`input[aria-label="${label}"]`);
    if (named) return named;
    const element = [...root.querySelectorAll("label")].find(
        ({ textContent }) => textContent === label,
    );
    const found =
        element?.querySelector<E>("input") ?? document.getElementById(element?.htmlFor ?? "");
    if (!found) throw new Error(`no control is called ${label}`);
    return found as E;
}

function button(text: string): HTMLButtonElement {
    const found = [...root.querySelectorAll("button")].find(
        (button) => (button.getAttribute("aria-label") ?? button.textContent) === text,
    );
    if (!found) throw new Error(`no button is called ${text}`);
    return found;
}

const type = (label: string, text: string) =>
    act(() => {
        const field = control(label);
        field.value = text;
        field.dispatchEvent(new Event("input", { bubbles: true }));
    });
const choose = (label: string, value: string) =>
    act(() => {
        const field = control<HTMLSelectElement>(label);
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
    });
const click = (text: string) => act(() => button(text).click());
const toggle = (label: string) => act(() => control(label).click());

/** What stands below a control: its meaning, or what is wrong with it. */
const below = (label: string) =>
    document.getElementById(control(label).getAttribute("aria-describedby")!)!.textContent;

describe("a number", () => {
    test("a value in its range is told at once", async () => {
        await show();
        await type("Temperature", "1.25");
        expect(settings.params).toEqual({ temp: 1.25 });
    });

    test("a value out of its range is not told, and the range is shown", async () => {
        await show({ params: { temp: 1 } });
        await type("Temperature", "11");
        expect(settings.params).toEqual({ temp: 1 });
        expect(control("Temperature").value).toBe("11");
        expect(control("Temperature").getAttribute("aria-invalid")).toBe("true");
        expect(below("Temperature")).toBe("Enter a number from 0 to 10.");
    });

    test("a text on the way to a number stays as it is typed", async () => {
        await show();
        await type("Top P", "0.");
        await type("Top P", "0.50");
        expect(control("Top P").value).toBe("0.50");
        expect(settings.params).toEqual({ top_p: 0.5 });
    });

    test("an empty field leaves the value to the server", async () => {
        await show({ params: { seed: 5, temp: 1 } });
        await type("Seed", "");
        expect(settings.params).toEqual({ temp: 1 });
    });

    test("the reset takes the value and a wrong text away", async () => {
        await show({ params: { top_k: 5 } });
        await type("Top K", "many");
        await click("Reset “Top K”");
        expect(settings.params).toEqual({});
        expect(control("Top K").value).toBe("");
        expect(below("Top K")).toContain("likeliest tokens");
    });

    test("the slider and the field show the same value", async () => {
        await show();
        await type("Min P, slider", "0.3");
        expect(control("Min P").value).toBe("0.3");
        expect(settings.params).toEqual({ min_p: 0.3 });
    });

    test("the longest answer is that which the server allows", async () => {
        hello.current = { max_tokens: 500, model: { chat: true } };
        await show();
        await type("Longest answer", "501");
        expect(settings.params).toEqual({});
        expect(below("Longest answer")).toBe("Enter a whole number from -1 to 500.");
    });
});

describe("lists", () => {
    test("a stop string is entered with escapes", async () => {
        await show();
        await type("Stop strings", "\\n\\n");
        await click("Add");
        expect(settings.params.stop).toEqual(["\n\n"]);
        await click("Remove \\n\\n");
        expect(settings.params).toEqual({});
    });

    test("a stop string that is too long or there already cannot be added", async () => {
        await show({ params: { stop: ["END"] } });
        await type("Stop strings", "ñ".repeat(513));
        expect(below("Stop strings")).toBe("Too long: at most 1,024 bytes.");
        expect(button("Add").disabled).toBe(true);
        await type("Stop strings", "END");
        expect(below("Stop strings")).toBe("There is one like this already.");
    });

    test("a bias has a token and a value in its range", async () => {
        await show();
        const add = () =>
            act(() =>
                control("Token ID")
                    .closest(".entry-row")!
                    .querySelector<HTMLButtonElement>("button")!
                    .click(),
            );
        await type("Token ID", "17");
        await type("Bias", "-101");
        await add();
        expect(settings.params).toEqual({});
        expect(root.textContent).toContain("Bias: Enter a number from -100 to 100.");
        await type("Bias", "-100");
        await add();
        expect(settings.params).toEqual({ logit_bias: { "17": -100 } });
        await type("Bias of token 17", "3");
        expect(settings.params).toEqual({ logit_bias: { "17": 3 } });
        await click("Remove the bias of token 17");
        expect(settings.params).toEqual({});
    });
});

describe("the format", () => {
    test("a schema is told when it is right", async () => {
        await show();
        await choose("Format", "json_schema");
        await type("JSON schema", '{"type": "string"}');
        expect(settings.format).toEqual({ type: "json_schema", schema: { type: "string" } });
    });

    test("a fault of the JSON is shown with its place, and not told", async () => {
        await show({ format: { type: "json_schema", schema: true } });
        await type("JSON schema", '{\n  "a": 1,\n}');
        expect(below("JSON schema")).toBe("Line 3, column 1: a name in double quotes is missing.");
        expect(settings.format).toEqual({ type: "json_schema", schema: true });
    });

    test("a keyword that the server refuses is named, and not told", async () => {
        await show({ format: { type: "json_schema", schema: true } });
        await type("JSON schema", '{"if": {}}');
        expect(below("JSON schema")).toContain("cannot enforce “if” at #/if");
        expect(settings.format).toEqual({ type: "json_schema", schema: true });
    });

    test("tidying changes the text and not the value", async () => {
        await show({ format: { type: "json_schema", schema: true } });
        await type("JSON schema", '{"a":[1]}');
        const before = settings.format;
        await click("Tidy up");
        expect(control("JSON schema").value).toBe('{\n  "a": [\n    1\n  ]\n}');
        expect(settings.format).toEqual(before);
    });

    test("the way back to a format finds what it had", async () => {
        await show();
        await choose("Format", "regex");
        await type("Regular expression", "[a-z]+");
        await choose("Format", "json");
        await choose("Format", "");
        expect(settings.format).toBeNull();
        await choose("Format", "regex");
        expect(settings.format).toEqual({ type: "regex", pattern: "[a-z]+" });
    });

    test("an expression with an obvious fault is not told", async () => {
        await show({ format: { type: "regex", pattern: "a" } });
        await type("Regular expression", "(a");
        expect(settings.format).toEqual({ type: "regex", pattern: "a" });
        expect(below("Regular expression")).toContain("not a regular expression");
    });

    test("the example grammar follows the notation", async () => {
        await show();
        await choose("Format", "grammar");
        await choose("Notation", "gbnf");
        expect(settings.format).toMatchObject({ syntax: "gbnf" });
        expect(control("Grammar").value).toContain("root ::=");
    });

    test("the last choice stays", async () => {
        await show({ format: { type: "choice", choices: ["yes"] } });
        await click("Remove yes");
        expect(settings.format).toEqual({ type: "choice", choices: ["yes"] });
    });
});

describe("tools", () => {
    test("two examples have different names", async () => {
        await show();
        await click("Add an example");
        await click("Add an example");
        expect(settings.tools.map(({ tool }) => tool.function.name)).toEqual([
            "get_weather",
            "get_weather_2",
        ]);
    });

    test("the choice of a tool follows its name, and ends with it", async () => {
        await show();
        await click("Add a tool");
        await choose("When to call", "function:my_tool");
        await type("Name", "clock");
        expect(settings.toolChoice).toEqual({ type: "function", function: { name: "clock" } });
        await click("Remove clock");
        expect(settings).toMatchObject({ tools: [], toolChoice: "auto" });
    });

    test("a name that templates cannot write is not told", async () => {
        await show();
        await click("Add a tool");
        await type("Name", "two words");
        expect(settings.tools[0]!.tool.function.name).toBe("my_tool");
        expect(control("Name").getAttribute("aria-invalid")).toBe("true");
    });

    test("a tool asks for its result or has one", async () => {
        await show();
        await click("Add a tool");
        expect(settings.tools[0]!.result).toBeNull();
        await toggle("Ask me for the result of each call");
        await type("Result of each call", "42");
        expect(settings.tools[0]!.result).toBe("42");
    });

    test("parameters that are no schema are not told", async () => {
        await show();
        await click("Add a tool");
        const before = settings.tools;
        await type("Parameters", "[]");
        expect(settings.tools).toEqual(before);
        expect(below("Parameters")).toContain("an object in braces");
    });
});

describe("the panel", () => {
    test("a preset sets the sampling and is marked", async () => {
        await show({ params: { seed: 3 } });
        await click("Exact");
        expect(settings.params).toEqual({ seed: 3, temp: 0 });
        expect(button("Exact").getAttribute("aria-pressed")).toBe("true");
    });

    test("resetting everything keeps the mode", async () => {
        await show({ mode: "raw", params: { temp: 0 }, format: "json", thinking: true });
        await click("Reset everything");
        expect(settings).toEqual({ ...DEFAULT_SETTINGS, mode: "raw" });
    });

    test("raw text has neither a system prompt nor tools", async () => {
        await show({ mode: "raw" });
        expect(() => control("System prompt")).toThrow();
        expect(root.textContent).not.toContain("Functions that the model may call");
    });

    test("a model that cannot chat says why", async () => {
        hello.current = { model: { chat: false, chat_problem: "it has no chat template" } };
        await show({ mode: "raw" });
        expect(control("Chat").disabled).toBe(true);
        expect(root.textContent).toContain("This model cannot chat: it has no chat template");
    });

    test("the probabilities are asked for with the number of rivals", async () => {
        await show();
        await toggle("Show the probabilities of tokens");
        expect(settings).toMatchObject({ showsProbabilities: true, params: { logprobs: 5 } });
        await type("Tokens to compare", "21");
        expect(settings.params.logprobs).toBe(5);
        await type("Tokens to compare", "20");
        expect(settings.params.logprobs).toBe(20);
        await toggle("Show the probabilities of tokens");
        expect(settings).toMatchObject({ showsProbabilities: false, params: {} });
    });

    test("thinking can be left to the template", async () => {
        await show({ thinking: false });
        await choose("Thinking", "");
        expect(settings.thinking).toBeNull();
        await choose("Thinking", "true");
        expect(settings.thinking).toBe(true);
    });
});
