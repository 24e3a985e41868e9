/** Short messages for everybody, screen readers included. */

import { signal } from "@preact/signals";

import { t } from "../i18n";
import { IconButton } from "./button";

const message = signal<{ text: string; isError: boolean } | null>(null);
let timer: ReturnType<typeof setTimeout> | undefined;

/** Shows `text` for a while. */
export function announce(text: string, isError = false): void {
    message.value = { text, isError };
    clearTimeout(timer);
    timer = setTimeout(() => (message.value = null), isError ? 12000 : 4000);
}

/** Where the messages appear. */
export function Announcements() {
    const shown = message.value;
    return (
        <div class="announcements" role="status" aria-live="polite">
            {shown && (
                <div class={shown.isError ? "announcement is-error" : "announcement"}>
                    <span>{shown.text}</span>
                    <IconButton
                        icon="close"
                        label={t("common.close")}
                        onClick={() => (message.value = null)}
                    />
                </div>
            )}
        </div>
    );
}
