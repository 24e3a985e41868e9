/** Whether the page is dark or light, for what draws by itself. */

import { computed, signal } from "@preact/signals";

import { theme } from "../theme";

const query = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(query.matches);
query.addEventListener("change", ({ matches }) => (systemIsDark.value = matches));

export const colorScheme = computed<"light" | "dark">(() => {
    if (theme.value !== "auto") return theme.value;
    return systemIsDark.value ? "dark" : "light";
});
