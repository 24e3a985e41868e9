/** The one connection of the page, and what the server says on it. */

import { computed, signal } from "@preact/signals";

import { Client, type ConnectionState } from "./client";
import type { Hello, Metrics, Right, ServerState } from "./protocol";
import { stored, tab } from "./storage";

/** The key, until the tab is closed. */
const keyOfTab = stored<string | null>("key", null, tab);
/** The key, if it is to be remembered. */
const rememberedKey = stored<string | null>("key", null);

/** The API key in use. */
export const key = computed(() => keyOfTab.value ?? rememberedKey.value);

/** Where the page is, without its file name: the address of the WebSocket and of the JSON routes. */
export const base = new URL(".", location.href);

export const client = new Client({
    url: Object.assign(new URL(base), { protocol: base.protocol.replace("http", "ws") }).href,
    key: key.value,
});

export const connection = signal<ConnectionState>(client.state);
/** What the server said about itself; stays when the connection is lost. */
export const hello = signal<Hello | null>(null);
/** What the key allows; all if the server needs none. */
export const rights = signal<Right[]>([]);
/** The latest metrics; stay when the connection is lost. */
export const metrics = signal<Metrics | null>(null);
/** The metrics of the last 15 minutes, oldest first. */
export const samples = signal<Metrics[]>([]);

/** The state to show: that of the connection, or else that of the server. */
export const shownState = computed<ServerState | Exclude<ConnectionState["kind"], "open">>(() => {
    const kind = connection.value.kind;
    return kind === "open" ? (metrics.value?.inference.state ?? "idle") : kind;
});

/** Uses `key`, and remembers it in the browser if `remember` is true. `null` forgets it. */
export function useKey(key: string | null, remember: boolean): void {
    keyOfTab.value = remember ? null : key;
    rememberedKey.value = remember ? key : null;
    client.setKey(key);
}

/** Whether a model was loaded since the last hello: only then hello knows all about it. */
let isHelloStale = false;

client.on("state", (state) => (connection.value = state));
client.on("hello", (frame) => {
    hello.value = frame;
    if (frame.auth === "ok" && key.value === null) rights.value = ["infer", "metrics", "admin"];
});
client.on("rights", (granted) => (rights.value = granted));
client.on("metrics", (frame) => {
    if (frame.inference.state === "loading" || frame.inference.state === "restarting") {
        isHelloStale = true;
    }
    metrics.value = frame;
    const from = frame.timestamp - HISTORY_SECONDS;
    samples.value = [...samples.value.filter((sample) => sample.timestamp >= from), frame];
    if (isHelloStale && frame.inference.state === "idle" && client.running === 0) {
        isHelloStale = false;
        client.reconnect();
    }
});

/** Ends the wait for the next attempt when it probably succeeds. */
function retryNow(): void {
    if (connection.value.kind === "lost" && document.visibilityState === "visible") {
        client.reconnect();
    }
}
addEventListener("online", retryNow);
addEventListener("visibilitychange", retryNow);

/** How long metrics are kept. */
export const HISTORY_SECONDS = 15 * 60;
