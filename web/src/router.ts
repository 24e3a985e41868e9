/** Which part of the page is shown: the fragment of the address, such as `#/dashboard`. */

import { signal } from "@preact/signals";

export const ROUTES = ["chat", "dashboard", "requests", "settings"] as const;
export type Route = (typeof ROUTES)[number];

export const route = signal<Route>(current());

addEventListener("hashchange", () => (route.value = current()));

export function go(to: Route): void {
    route.value = to;
    location.hash = `#/${to}`;
}

function current(): Route {
    const name = location.hash.slice(2).split("/")[0];
    const found = ROUTES.find((route) => route === name);
    if (found) return found;
    // The address must not name what is not shown.
    if (location.hash) history.replaceState(history.state, "", "#/chat");
    return "chat";
}
