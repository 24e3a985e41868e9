import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import "../../fakes/browser";
import { connection, useKey } from "../../../src/session";
import { KeyDialog, showsKeyDialog } from "../../../src/shell/key-dialog";

HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
};

const host = document.createElement("div");
beforeEach(() => document.body.append(host));
afterEach(() => {
    render(null, host);
    useKey(null, false);
});

const dialog = () => host.querySelector("dialog");
const needsKey = (reason: string | null) =>
    act(() => {
        connection.value = { kind: "key-needed", reason };
    });

describe("the dialog for the key", () => {
    it("comes when a key is needed, can be closed, and comes back on demand", async () => {
        await act(() => render(<KeyDialog />, host));
        expect(dialog()).toBeNull();
        await needsKey(null);
        expect(dialog()).not.toBeNull();
        await act(() => {
            dialog()?.dispatchEvent(new Event("close"));
        });
        expect(dialog()).toBeNull();
        await act(() => {
            showsKeyDialog.value = true;
        });
        expect(dialog()).not.toBeNull();
        await act(() => {
            connection.value = { kind: "open" };
        });
        expect(dialog()).toBeNull();
    });

    it("speaks of a wrong key only if there was one", async () => {
        await act(() => render(<KeyDialog />, host));
        await needsKey("no key came within 10 s");
        expect(dialog()?.textContent).not.toContain("refused");
        await act(() => useKey("ic_wrong", false));
        await needsKey("there is no such API key");
        expect(dialog()?.textContent).toContain("refused the key");
        expect(dialog()?.textContent).toContain("there is no such API key");
    });
});
