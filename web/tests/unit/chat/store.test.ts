import "fake-indexeddb/auto";

import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { MemoryDatabase, openDatabase, type Database } from "../../../src/chat/database";
import { Rescue } from "../../../src/chat/rescue";
import { CLAIM_MS, RESTORE_MS, Store, type Channel } from "../../../src/chat/store";
import { append, newMessage, replace } from "../../../src/chat/tree";
import { DEFAULT_SETTINGS, type ChatMessage, type Conversation } from "../../../src/chat/types";

/** Channels that deliver to each other, as those of tabs do. */
class Tabs {
    #channels: Channel[] = [];

    open(): Channel {
        const channel: Channel = {
            onmessage: null,
            postMessage: (data) => {
                for (const other of this.#channels) {
                    if (other !== channel) {
                        other.onmessage?.call(
                            other as BroadcastChannel,
                            new MessageEvent("message", { data }),
                        );
                    }
                }
            },
        };
        this.#channels.push(channel);
        return channel;
    }
}

let names = 0;
let database: Database;
let tabs: Tabs;

async function openTab(current: string | null = null): Promise<Store> {
    const store = new Store(tabs.open(), signal(current), new Rescue(() => localStorage));
    await store.start(database);
    return store;
}

/** Writes a question into the conversation that is shown. */
function ask(store: Store, text: string): Conversation {
    const { id } = store.current.value!;
    store.update(id, (before) => ({
        ...append(before, newMessage(before.leaf, "user", text)),
        title: before.title || text,
    }));
    return store.get(id)!;
}

function texts(conversation: Conversation | undefined | null): string[] {
    return Object.values(conversation?.messages ?? {})
        .map(({ text }) => text)
        .sort();
}

beforeEach(async () => {
    localStorage.clear();
    tabs = new Tabs();
    database = await openDatabase(`test-${names++}`);
});

afterEach(() => {
    vi.useRealTimers();
});

describe("the store of conversations", () => {
    it("shows a conversation again after the page was loaded anew", async () => {
        const before = await openTab();
        const { id } = ask(before, "Hello");
        before.update(id, (conversation) => ({ ...conversation, draft: "typed" }));
        await before.flush();
        const after = await openTab(id);
        expect(after.current.value?.draft).toBe("typed");
        expect(texts(after.current.value)).toEqual(["Hello"]);
        expect(after.heads.value.map(({ title }) => title)).toEqual(["Hello"]);
    });

    it("keeps no conversation in which nothing was written", async () => {
        const store = await openTab();
        store.create();
        await store.flush();
        expect(await database.heads()).toEqual([]);
    });

    it("writes the first change at once, and those that follow together", async () => {
        const written = vi.spyOn(database, "save");
        const store = await openTab();
        const { id } = ask(store, "one");
        expect(written).toHaveBeenCalledTimes(1);
        ask(store, "two");
        ask(store, "three");
        expect(written).toHaveBeenCalledTimes(1);
        await vi.waitFor(() => expect(written).toHaveBeenCalledTimes(2));
        await vi.waitFor(async () =>
            expect(texts(await database.load(id))).toEqual(["one", "three", "two"]),
        );
    });

    it("writes nothing again that has not changed", async () => {
        const store = await openTab();
        const { id } = ask(store, "Hello");
        await store.flush();
        const written = vi.spyOn(database, "save");
        await store.save(id);
        await store.flush();
        expect(written).not.toHaveBeenCalled();
    });

    it("shows in one tab what another has written", async () => {
        const one = await openTab();
        const { id } = ask(one, "Hello");
        await one.flush();
        const two = await openTab(id);
        ask(two, "More");
        await two.flush();
        await vi.waitFor(() => expect(texts(one.get(id))).toEqual(["Hello", "More"]));
    });

    it("keeps the messages of two tabs that write at once", async () => {
        const one = await openTab();
        const { id } = ask(one, "Hello");
        await one.flush();
        const two = await openTab(id);
        ask(one, "from one");
        ask(two, "from two");
        await Promise.all([one.flush(), two.flush()]);
        expect(texts(await database.load(id))).toEqual(["Hello", "from one", "from two"]);
    });

    it("removes a conversation from all tabs, and restores it", async () => {
        const one = await openTab();
        const { id } = ask(one, "Hello");
        await one.flush();
        const two = await openTab(id);
        await one.remove(id);
        expect(two.heads.value).toEqual([]);
        expect(two.current.value?.id).not.toBe(id);
        one.restore();
        await one.flush();
        expect(one.current.value?.id).toBe(id);
        expect(texts(await database.load(id))).toEqual(["Hello"]);
    });

    it("forgets a removed conversation after a while", async () => {
        const store = await openTab();
        const { id } = ask(store, "Hello");
        vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
        const removing = store.remove(id);
        await vi.advanceTimersByTimeAsync(0);
        vi.advanceTimersByTime(RESTORE_MS);
        expect(store.removed.value).toBeNull();
        vi.useRealTimers();
        await removing;
    });

    it("searches titles and messages, whatever the case", async () => {
        const store = await openTab();
        const { id } = ask(store, "The Lighthouse");
        await store.flush();
        expect(await store.search(" lightHOUSE")).toEqual(new Set([id]));
        expect(await store.search("ship")).toEqual(new Set());
    });

    it("gives a new conversation the default settings", async () => {
        const store = await openTab();
        const { id } = ask(store, "Hello");
        store.update(id, (before) => ({
            ...before,
            settings: { ...before.settings, system: "Be short." },
        }));
        expect(store.create().settings).toEqual(DEFAULT_SETTINGS);
        expect(store.current.value?.id).not.toBe(id);
    });

    it("works without the browser's database", async () => {
        database = new MemoryDatabase();
        const store = await openTab();
        const { id } = ask(store, "Hello");
        await store.flush();
        store.create();
        expect(await store.open(id)).toBe(true);
        expect(await store.search("hello")).toEqual(new Set([id]));
    });
});

describe("a page that is closed before all is written", () => {
    it("leaves it to the next page", async () => {
        const closed = await openTab();
        const { id } = ask(closed, "written");
        await closed.flush();
        // From here on nothing reaches the database.
        vi.spyOn(database, "save").mockReturnValue(new Promise(() => {}));
        ask(closed, "not written");
        closed.update(id, (before) => ({ ...before, draft: "typed" }));
        closed.keepUnsaved();
        vi.restoreAllMocks();
        tabs = new Tabs();

        const opened = await openTab(id);
        expect(texts(opened.current.value)).toEqual(["not written", "written"]);
        expect(opened.current.value?.draft).toBe("typed");
        expect(localStorage.length).toBe(0);
    });

    it("leaves it to other tabs too", async () => {
        const one = await openTab();
        const { id } = ask(one, "Hello");
        await one.flush();
        const two = await openTab(id);
        one.update(id, (before) => ({ ...before, draft: "typed" }));
        one.keepUnsaved();
        await vi.waitFor(() => expect(two.get(id)?.draft).toBe("typed"));
    });

    it("leaves nothing if all was written", async () => {
        const store = await openTab();
        ask(store, "Hello");
        await store.flush();
        store.keepUnsaved();
        expect(localStorage.length).toBe(0);
    });
});

describe("an answer that ran when the page was closed", () => {
    let answer: ChatMessage;
    let id: string;

    beforeEach(async () => {
        const store = await openTab();
        ask(store, "Hello");
        id = store.current.value!.id;
        answer = { ...newMessage(store.current.value!.leaf, "assistant", "Hel") };
        store.update(id, (before) => append(before, answer));
        await store.flush();
        tabs = new Tabs();
        vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    });

    it("is marked as interrupted", async () => {
        const store = await openTab(id);
        vi.advanceTimersByTime(CLAIM_MS);
        expect(store.get(id)?.messages[answer.id]?.outcome).toEqual({ kind: "interrupted" });
    });

    it("is left alone while another tab says that it runs there", async () => {
        const other = await openTab(id);
        other.isRunning = () => true;
        const store = await openTab(id);
        vi.advanceTimersByTime(CLAIM_MS);
        expect(store.get(id)?.messages[answer.id]?.outcome).toBeUndefined();
        const end: ChatMessage = { ...answer, text: "Hello", outcome: { kind: "interrupted" } };
        other.update(id, (before) => replace(before, end));
        await other.flush();
        vi.useRealTimers();
        await vi.waitFor(() => expect(store.get(id)?.messages[answer.id]).toEqual(end));
    });
});
