import { t } from "../i18n";
import { announce } from "../ui/announce";

/** Copies text, and says so. */
export async function copy(text: string): Promise<void> {
    try {
        // Pages that come over plain HTTP have no clipboard.
        if (navigator.clipboard) await navigator.clipboard.writeText(text);
        else copyBySelection(text);
        announce(t("common.copied"));
    } catch {
        announce(t("chat.copy.failed"), true);
    }
}

function copyBySelection(text: string): void {
    const area = document.createElement("textarea");
    const focused = document.activeElement;
    area.value = text;
    area.className = "visually-hidden";
    // A modal dialog keeps the focus inside.
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    if (!isCopied) throw new Error("the browser does not copy");
}
