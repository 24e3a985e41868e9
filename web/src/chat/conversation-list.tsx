/** The list of conversations, with a search in them. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { language, t } from "../i18n";
import { announce } from "../ui/announce";
import { Button, IconButton } from "../ui/button";
import { Icon } from "../ui/icon";
import { later } from "../ui/lazy";
import { focusComposer } from "./composer";
import type { Head } from "./database";
import { download } from "./download";
import { answers, showsList, store } from "./state";

export function ConversationList() {
    const query = useSignal("");
    const found = useSignal<Set<string> | null>(null);
    useEffect(() => {
        if (!query.value.trim()) {
            found.value = null;
            return;
        }
        let isWanted = true;
        const timer = setTimeout(() => {
            void store.search(query.value).then((ids) => {
                if (isWanted) found.value = ids;
            });
        }, SEARCH_DELAY_MS);
        return () => {
            isWanted = false;
            clearTimeout(timer);
        };
    }, [query.value]);
    const heads = store.heads.value.filter(({ id }) => found.value?.has(id) ?? true);
    return (
        <div class="list">
            <Button icon="plus" onClick={createConversation}>
                {t("chat.new")}
            </Button>
            <div class="search">
                <Icon name="search" />
                <input
                    id={SEARCH_ID}
                    type="search"
                    placeholder={t("chat.search")}
                    aria-label={t("chat.search.label")}
                    value={query.value}
                    onInput={(event) => (query.value = event.currentTarget.value)}
                />
            </div>
            <nav class="list-items" aria-label={t("chat.conversations")}>
                {heads.length === 0 && (
                    <p class="list-empty">
                        {t(found.value ? "chat.search.none" : "chat.list.none")}
                    </p>
                )}
                {byDay(heads).map(([day, heads]) => (
                    <section key={day}>
                        <h2>{day}</h2>
                        <ul>
                            {heads.map((head) => (
                                <Item key={head.id} head={head} />
                            ))}
                        </ul>
                    </section>
                ))}
            </nav>
            <Removed />
            <Files />
        </div>
    );
}

export function createConversation(): void {
    store.create();
    showsList.value = false;
    focusComposer();
}

export function focusSearch(): void {
    showsList.value = true;
    requestAnimationFrame(() => document.getElementById(SEARCH_ID)?.focus());
}

export async function openConversation(id: string): Promise<void> {
    await store.open(id);
    showsList.value = false;
}

function Item({ head: { id, title } }: { head: Head }) {
    const isCurrent = store.currentId.value === id;
    const name = title || t("chat.untitled");
    return (
        <li class={isCurrent ? "list-item is-current" : "list-item"}>
            <button
                type="button"
                class="list-open"
                aria-current={isCurrent ? "true" : undefined}
                onClick={() => void openConversation(id)}
            >
                <span class="list-title" dir="auto">
                    {name}
                </span>
                {answers.of(id) && (
                    <span class="list-running" role="img" aria-label={t("chat.list.running")} />
                )}
            </button>
            <IconButton
                icon="trash"
                label={t("chat.delete.label", { title: name })}
                onClick={() => removeConversation(id)}
            />
        </li>
    );
}

export function removeConversation(id: string): void {
    answers.stop(id);
    void store.remove(id);
}

/** Offers to restore what was removed. */
function Removed() {
    const removed = store.removed.value;
    return (
        <div role="status">
            {removed && (
                <div class="list-removed">
                    <span dir="auto">
                        {t("chat.deleted", { title: removed.title || t("chat.untitled") })}
                    </span>
                    <Button onClick={() => store.restore()}>{t("chat.delete.undo")}</Button>
                </div>
            )}
        </div>
    );
}

function Files() {
    const input = useRef<HTMLInputElement>(null);
    return (
        <div class="list-files">
            <Button icon="upload" onClick={() => input.current?.click()}>
                {t("chat.import")}
            </Button>
            <Button icon="download" onClick={() => void exportAll()}>
                {t("chat.export")}
            </Button>
            <input
                ref={input}
                type="file"
                accept=".json,application/json"
                hidden
                onChange={({ currentTarget }) => {
                    const file = currentTarget.files?.[0];
                    currentTarget.value = "";
                    if (file) void importFile(file);
                }}
            />
        </div>
    );
}

async function importFile(file: File): Promise<void> {
    try {
        if (file.size > MAX_FILE) throw new Error(t("chat.import.large"));
        const { fromJson, withoutKnown } = await loadExchange();
        const found = fromJson(await file.text());
        const added = withoutKnown(found, await store.all());
        store.add(added);
        const known = found.length - added.length;
        announce(
            known === 0
                ? t("chat.import.done", { n: added.length })
                : t("chat.import.known", { n: added.length, known }),
        );
    } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        announce(t("chat.import.failed", { name: file.name, reason }), true);
    }
}

async function exportAll(): Promise<void> {
    const { toJson } = await loadExchange();
    const day = new Date().toISOString().slice(0, 10);
    download(`inference-core-${day}.json`, "application/json", toJson(await store.all()));
}

/** The conversations by the day of their last change, in words. */
function byDay(heads: Head[]): [string, Head[]][] {
    const days = new Map<string, Head[]>();
    const today = new Date().setHours(0, 0, 0, 0);
    for (const head of heads) {
        const day = dayName(today, head.changed);
        const others = days.get(day);
        if (others) others.push(head);
        else days.set(day, [head]);
    }
    return [...days];
}

function dayName(today: number, changed: number): string {
    if (changed >= today) return t("chat.today");
    if (changed >= today - DAY_MS) return t("chat.yesterday");
    if (changed >= today - 6 * DAY_MS) return t("chat.week");
    const month = new Intl.DateTimeFormat(language.value, { month: "long", year: "numeric" });
    return month.format(changed);
}

/** Reads and writes files. */
export const loadExchange = later(() => import("./exchange"));

const SEARCH_ID = "conversation-search";

/** From a key press until the search begins. */
const SEARCH_DELAY_MS = 200;

const DAY_MS = 24 * 60 * 60 * 1000;

/** Bytes of a file with conversations. */
const MAX_FILE = 64 * 1024 * 1024;
