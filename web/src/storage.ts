/** Small values that outlive the page, in the browser's local storage. */

import { effect, signal, type Signal } from "@preact/signals";

/** The prefix of all keys: other pages of the same origin may store values too. */
const PREFIX = "inference-core.";

/**
 * A signal whose value is stored under `name`, as JSON. Where the browser stores nothing, the value
 * lasts as long as the page.
 */
export function stored<T>(name: string, initial: T, storage: () => Storage = local): Signal<T> {
    const value = signal(read(name, initial, storage));
    effect(() => write(name, value.value, storage));
    return value;
}

/** The storage that outlives the browser. */
export const local = (): Storage => localStorage;

/** The storage that ends with the tab. */
export const tab = (): Storage => sessionStorage;

function read<T>(name: string, initial: T, storage: () => Storage): T {
    try {
        const text = storage().getItem(PREFIX + name);
        return text === null ? initial : (JSON.parse(text) as T);
    } catch {
        // Storage is switched off, or somebody else wrote the value.
        return initial;
    }
}

function write(name: string, value: unknown, storage: () => Storage): void {
    try {
        if (value === null) storage().removeItem(PREFIX + name);
        else storage().setItem(PREFIX + name, JSON.stringify(value));
    } catch {
        // Storage is switched off or full: the value lasts as long as the page.
    }
}
