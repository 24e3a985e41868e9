/** The server's time, by which samples are placed. */

import { computed, effect } from "@preact/signals";

import { connection, metrics } from "../session";
import { second } from "../ui/second";

/** By how many seconds the server's clock is ahead of that of the browser. */
let ahead = 0;

effect(() => {
    if (metrics.value && connection.peek().kind === "open") {
        ahead = metrics.value.timestamp - Date.now() / 1000;
    }
});

/**
 * The server's time in Unix seconds, changed once a second. It goes on while the connection is lost.
 */
export const now = computed(() => {
    const guess = second.value / 1000 + ahead;
    const latest = metrics.peek()?.timestamp ?? 0;
    return connection.value.kind === "open" ? latest : Math.max(latest, guess);
});
