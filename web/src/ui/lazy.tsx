/**
 * Parts of the page that the first view does not need. They are loaded soon after it, so that a
 * lost connection takes none of them away.
 */

import { signal } from "@preact/signals";
import type { ComponentType, FunctionComponent } from "preact";
import { useEffect } from "preact/hooks";

import { t } from "../i18n";
import { Button } from "./button";
import { Failure } from "./failure";

/** Loads a module, and {@link loadAll} does so too. */
export function later<T>(load: () => Promise<T>): () => Promise<T> {
    modules.push(load);
    return load;
}

/** A component whose module is loaded when it is first shown, or by {@link loadAll}. */
export function lazy<Props extends object>(
    load: () => Promise<ComponentType<Props>>,
): FunctionComponent<Props> {
    const loaded = signal<{ Component: ComponentType<Props> } | "failed" | null>(null);
    const start = later(async () => {
        if (loaded.peek() === "failed") loaded.value = null;
        try {
            const Component = await load();
            loaded.value ??= { Component };
        } catch {
            loaded.value ??= "failed";
        }
    });
    return (props) => {
        useEffect(() => {
            if (loaded.peek() === null) void start();
        }, []);
        const state = loaded.value;
        if (state === null) return <p class="waiting">{t("common.loading")}</p>;
        if (state === "failed") {
            return (
                <Failure text={t("part.not-loaded")} onRetry={() => void start()}>
                    <Button onClick={() => location.reload()}>{t("part.reload")}</Button>
                </Failure>
            );
        }
        return <state.Component {...props} />;
    };
}

/** Loads all parts that are not loaded, one after the other, as soon as the browser is idle. */
export function loadAll(): void {
    whenIdle(async () => {
        // A module may bring parts of its own, which come last.
        for (const load of modules) await load().catch(() => {});
    });
}

function whenIdle(run: () => Promise<void>): void {
    // Safari has no such callback.
    if ("requestIdleCallback" in window) requestIdleCallback(() => void run());
    else setTimeout(() => void run(), IDLE_MS);
}

const modules: (() => Promise<unknown>)[] = [];

/** When a browser that does not say so counts as idle. */
const IDLE_MS = 500;
