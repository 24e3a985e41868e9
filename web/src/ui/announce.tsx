/** Short messages for everybody, screen readers included. */

import { signal } from "@preact/signals";

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
                <p class={shown.isError ? "announcement is-error" : "announcement"}>{shown.text}</p>
            )}
        </div>
    );
}
