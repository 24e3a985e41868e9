/** Keyboard shortcuts: parts of the page register theirs, and a list shows them all. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import type { TextKey } from "../i18n";

export interface Shortcut {
    /** As `KeyboardEvent.key` names it, with `Ctrl+`, `Alt+` or `Shift+` before it. */
    keys: string;
    label: TextKey;
    /** Absent for keys of a field, which are only listed. */
    run?: () => void;
}

/** The shortcuts of what is shown now. */
export const shortcuts = signal<Shortcut[]>([]);

/** Registers shortcuts while the calling component is shown. */
export function useShortcuts(list: Shortcut[]): void {
    useEffect(() => {
        shortcuts.value = [...shortcuts.value, ...list];
        return () => {
            shortcuts.value = shortcuts.value.filter((shortcut) => !list.includes(shortcut));
        };
        // The actions read signals, so that the first list serves for good.
    }, []);
}

/** Runs the shortcut for a key. A plain letter is none while somebody types, and no key in a dialog. */
export function onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const isTyping = target.matches("input, textarea, select, [contenteditable]");
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
    if (event.defaultPrevented || target.closest("dialog") || (isTyping && !hasModifier)) return;
    const keys =
        (event.ctrlKey || event.metaKey ? "Ctrl+" : "") +
        (event.altKey ? "Alt+" : "") +
        (event.shiftKey && event.key.length > 1 ? "Shift+" : "") +
        event.key;
    const shortcut = shortcuts.value.find((shortcut) => shortcut.keys === keys);
    if (!shortcut?.run) return;
    event.preventDefault();
    shortcut.run();
}
