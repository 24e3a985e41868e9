/** Links and images of a model: they do nothing until somebody has seen where they lead. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { t } from "../../i18n";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { copy } from "../copy";
import { openableAddress, withVisibleControls } from "./text";

/** The address that was clicked. */
const clicked = signal<string | null>(null);

/** Shows the full address of a link before it can be opened. */
export function showAddress(address: string): void {
    clicked.value = address;
}

/** A link that shows its address when it is clicked. */
export function InertLink({ address, children }: { address: string; children: ComponentChildren }) {
    return (
        <span
            class="link"
            role="button"
            tabIndex={0}
            aria-haspopup="dialog"
            onClick={() => showAddress(address)}
            onKeyDown={(event) => {
                if (event.key !== "Enter" && event.key !== " ") return;
                event.preventDefault();
                showAddress(address);
            }}
        >
            {children}
        </span>
    );
}

/** Stands for an image, which is not loaded. */
export function InertImage({ address, text }: { address: string; text: string }) {
    return (
        <InertLink address={address}>
            <span class="image">
                {t("chat.image", { text: text || shortened(withVisibleControls(address), 60) })}
            </span>
        </InertLink>
    );
}

/** The dialog with the address of the link that was clicked. */
export function AddressDialog() {
    const address = clicked.value;
    if (address === null) return null;
    const openable = openableAddress(address);
    const close = () => (clicked.value = null);
    return (
        <Dialog title={t("chat.link.title")} onClose={close}>
            <p>{t(openable === null ? "chat.link.refused" : "chat.link.explanation")}</p>
            <p class="address" dir="ltr">
                <code>{shortened(openable ?? withVisibleControls(address), MAX_SHOWN)}</code>
            </p>
            <div class="form-actions">
                <Button icon="copy" onClick={() => void copy(openable ?? address)}>
                    {t("common.copy")}
                </Button>
                {openable !== null && (
                    <a
                        class="button button-primary"
                        href={openable}
                        target="_blank"
                        rel="noopener noreferrer"
                        onClick={close}
                    >
                        {t("chat.link.open")}
                    </a>
                )}
            </div>
        </Dialog>
    );
}

function shortened(text: string, length: number): string {
    return text.length <= length ? text : `${text.slice(0, length)}…`;
}

/** Characters of an address in the dialog. */
const MAX_SHOWN = 2000;
