import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { JsonEditor } from "../../../src/chat/panel/json-editor";
import { settingsFault } from "../../../src/chat/panel/faults";

const host = document.createElement("div");
beforeEach(() => document.body.append(host));
afterEach(() => render(null, host));

const type = (text: string) =>
    act(() => {
        const field = host.querySelector("textarea")!;
        field.value = text;
        field.dispatchEvent(new Event("input", { bubbles: true }));
    });

describe("a field of the settings that is wrong", () => {
    it("is known with its reason until it is right again", async () => {
        await act(() =>
            render(<JsonEditor label="JSON schema" value={{}} onChange={() => {}} />, host),
        );
        expect(settingsFault.value).toBeNull();
        await type('{"type": ');
        expect(settingsFault.value).toMatchObject({ field: "JSON schema" });
        expect(settingsFault.value?.problem).toMatch(/^Line 1/);
        await type("{}");
        expect(settingsFault.value).toBeNull();
    });

    it("is forgotten when the settings are closed", async () => {
        await act(() =>
            render(<JsonEditor label="JSON schema" value={{}} onChange={() => {}} />, host),
        );
        await type("{");
        expect(settingsFault.value).not.toBeNull();
        await act(() => render(null, host));
        expect(settingsFault.value).toBeNull();
    });
});
