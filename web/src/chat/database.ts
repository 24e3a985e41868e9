/** Where conversations are kept: the browser's IndexedDB, or memory where it cannot be used. */

import { openDB, type DBSchema, type IDBPDatabase } from "idb";

import type { ChatMessage, Conversation } from "./types";

/** What the list of conversations shows. */
export type Head = Pick<Conversation, "id" | "title" | "created" | "changed">;

export interface Database {
    heads(): Promise<Head[]>;
    load(id: string): Promise<Conversation | undefined>;
    all(): Promise<Conversation[]>;
    /** Keeps `conversation`, with the messages that are in its record and not in it. */
    save(conversation: Conversation): Promise<void>;
    remove(id: string): Promise<void>;
    /** The ids of the conversations with `query` in a message or the title. */
    search(query: string): Promise<Set<string>>;
}

/** Opens the browser's database. If that fails, conversations last as long as the page. */
export async function openDatabase(name = "inference-core"): Promise<Database> {
    try {
        const database = await openDB<Tables>(name, VERSION, {
            upgrade(database) {
                database.createObjectStore("heads", { keyPath: "id" });
                database.createObjectStore("conversations", { keyPath: "id" });
            },
            // Another tab has a newer page, which waits for this one.
            blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
        });
        return new IndexedDatabase(database);
    } catch {
        return new MemoryDatabase();
    }
}

/** `mine`, and the messages that are only in `kept`, which another tab may have written. */
export function merge(mine: Conversation, kept: Conversation | undefined): Conversation {
    if (!kept) return mine;
    const messages = { ...kept.messages };
    for (const message of Object.values(mine.messages)) {
        const other = messages[message.id];
        messages[message.id] = other && isFurther(other, message) ? other : message;
    }
    return { ...mine, messages };
}

/** Whether `message` is complete, and `than` an earlier state of it. */
function isFurther(message: ChatMessage, than: ChatMessage): boolean {
    return Boolean(message.outcome && !than.outcome) && message.text.length >= than.text.length;
}

interface Tables extends DBSchema {
    heads: { key: string; value: Head };
    conversations: { key: string; value: Conversation };
}

class IndexedDatabase implements Database {
    constructor(private readonly database: IDBPDatabase<Tables>) {}

    heads(): Promise<Head[]> {
        return this.database.getAll("heads");
    }

    load(id: string): Promise<Conversation | undefined> {
        return this.database.get("conversations", id);
    }

    all(): Promise<Conversation[]> {
        return this.database.getAll("conversations");
    }

    async save(conversation: Conversation): Promise<void> {
        const change = this.database.transaction(["heads", "conversations"], "readwrite");
        const conversations = change.objectStore("conversations");
        const merged = merge(conversation, await conversations.get(conversation.id));
        void conversations.put(merged);
        void change.objectStore("heads").put(headOf(merged));
        await change.done;
    }

    async remove(id: string): Promise<void> {
        const change = this.database.transaction(["heads", "conversations"], "readwrite");
        void change.objectStore("conversations").delete(id);
        void change.objectStore("heads").delete(id);
        await change.done;
    }

    async search(query: string): Promise<Set<string>> {
        const found = new Set<string>();
        const matches = matcher(query);
        const reading = this.database.transaction("conversations");
        for await (const { value } of reading.store) if (matches(value)) found.add(value.id);
        return found;
    }
}

/** Keeps conversations as long as the page lasts. */
export class MemoryDatabase implements Database {
    #conversations = new Map<string, Conversation>();

    heads(): Promise<Head[]> {
        return Promise.resolve([...this.#conversations.values()].map(headOf));
    }

    load(id: string): Promise<Conversation | undefined> {
        return Promise.resolve(this.#conversations.get(id));
    }

    all(): Promise<Conversation[]> {
        return Promise.resolve([...this.#conversations.values()]);
    }

    save(conversation: Conversation): Promise<void> {
        this.#conversations.set(conversation.id, conversation);
        return Promise.resolve();
    }

    remove(id: string): Promise<void> {
        this.#conversations.delete(id);
        return Promise.resolve();
    }

    search(query: string): Promise<Set<string>> {
        const found = [...this.#conversations.values()].filter(matcher(query));
        return Promise.resolve(new Set(found.map(({ id }) => id)));
    }
}

export function headOf({ id, title, created, changed }: Conversation): Head {
    return { id, title, created, changed };
}

function matcher(query: string): (conversation: Conversation) => boolean {
    const wanted = query.trim().toLowerCase();
    const has = (text: string) => text.toLowerCase().includes(wanted);
    return ({ title, messages }) =>
        has(title) || Object.values(messages).some(({ text }) => has(text));
}

const VERSION = 1;
