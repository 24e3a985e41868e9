/** Dark or light colours. */

import { effect } from "@preact/signals";

import { stored } from "./storage";

export type Theme = "auto" | "light" | "dark";

export const theme = stored<Theme>("theme", "auto");

/** Keeps the document's colours as they were chosen. */
export function applyTheme(): void {
    effect(() => {
        document.documentElement.dataset["theme"] = theme.value;
    });
}
