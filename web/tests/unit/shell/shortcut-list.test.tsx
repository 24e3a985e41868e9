import { render } from "preact";
import { act } from "preact/test-utils";
import { expect, it } from "vitest";

import "../../fakes/browser";
import { ShortcutList } from "../../../src/shell/shortcut-list";
import { onKey, useShortcuts } from "../../../src/ui/shortcuts";

HTMLDialogElement.prototype.showModal = () => {};

function Keys() {
    useShortcuts([
        { keys: "Alt+ArrowUp", label: "chat.shortcut.before", run: () => {} },
        { keys: "Enter", label: "chat.shortcut.send" },
    ]);
    return <ShortcutList onClose={() => {}} />;
}

it("the list of shortcuts names keys as keyboards do, with those of fields", async () => {
    const host = document.createElement("div");
    document.body.append(host);
    await act(() => render(<Keys />, host));
    const keys = [...host.querySelectorAll("dt")].map(({ textContent }) => textContent);
    expect(keys).toEqual(["Alt↑", "Enter"]);
    const enter = new KeyboardEvent("keydown", { key: "Enter", cancelable: true });
    document.body.addEventListener("keydown", onKey, { once: true });
    document.body.dispatchEvent(enter);
    expect(enter.defaultPrevented).toBe(false);
    render(null, host);
});
