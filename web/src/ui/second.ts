/** What changes by the passing of time. */

import { signal } from "@preact/signals";

/**
 * The time in milliseconds, changed once a second. The timer runs only while something shows the
 * time and the tab is visible.
 */
export const second = signal(Date.now(), {
    watched() {
        start();
        document.addEventListener("visibilitychange", start);
    },
    unwatched() {
        document.removeEventListener("visibilitychange", start);
        clearInterval(timer);
    },
});

let timer: ReturnType<typeof setInterval> | undefined;

/** Starts the timer, or stops it if nobody sees the tab. */
function start(): void {
    clearInterval(timer);
    if (document.visibilityState === "hidden") return;
    tick();
    timer = setInterval(tick, 1000);
}

function tick(): void {
    second.value = Date.now();
}
