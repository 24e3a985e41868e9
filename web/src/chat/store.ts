/**
 * The conversations of this browser. Changes are shown and written at once, those that follow a
 * write a little later, and told to the other tabs. Of two tabs that change a conversation the later one decides about its title,
 * draft and settings; messages of both are kept.
 */

import { computed, signal, type Signal } from "@preact/signals";

import { headOf, MemoryDatabase, merge, type Database, type Head } from "./database";
import type { Rescue } from "./rescue";
import { newConversation } from "./tree";
import { DEFAULT_SETTINGS, type ChatMessage, type Conversation } from "./types";

/** What tabs tell each other. */
type TabMessage =
    | { kind: "changed" | "removed"; id: string }
    /** Is there a tab in which an answer of this conversation runs? */
    | { kind: "asks"; id: string }
    | { kind: "runs"; id: string };

/** The part of a `BroadcastChannel` that is used. */
export type Channel = Pick<BroadcastChannel, "postMessage" | "onmessage">;

export class Store {
    /** All conversations that have been kept, the one changed last first. */
    readonly heads = signal<Head[]>([]);
    /** The conversation that was removed last, while it can be restored. */
    readonly removed = signal<Conversation | null>(null);
    /** The conversation that is shown; `null` until it is read. */
    readonly current = computed(() => this.#loaded.value.get(this.currentId.value ?? "") ?? null);
    /** Whether an answer of the conversation runs in this tab. */
    isRunning: (id: string) => boolean = () => false;
    /** Called when another tab has removed a conversation. */
    onRemoved: (id: string) => void = () => {};

    readonly #loaded = signal<ReadonlyMap<string, Conversation>>(new Map());
    /** The conversations with changes that are not written, and the last change of each. */
    readonly #unsaved = new Map<string, number>();
    /** The pauses after a write, in which further changes wait. */
    readonly #pauses = new Map<string, ReturnType<typeof setTimeout>>();
    /** What the database has of the conversations that are loaded. */
    readonly #written = new Map<string, Conversation>();
    #changes = 0;
    /** The conversations of which was asked whether they run in another tab. */
    readonly #asked = new Map<string, ReturnType<typeof setTimeout>>();
    #database: Database = new MemoryDatabase();
    #forget: ReturnType<typeof setTimeout> | undefined;

    constructor(
        private readonly channel: Channel,
        readonly currentId: Signal<string | null>,
        private readonly rescue: Rescue,
    ) {}

    /** Reads the list, and the conversation that was shown last. */
    async start(database: Database): Promise<void> {
        this.#database = database;
        this.channel.onmessage = (event: MessageEvent<TabMessage>) => void this.#hear(event.data);
        await this.recover();
        this.heads.value = sorted(await database.heads());
        const id = this.currentId.value;
        if (id === null || !(await this.open(id))) this.create();
    }

    get(id: string): Conversation | undefined {
        return this.#loaded.value.get(id);
    }

    /** Shows a conversation. False if it does not exist. */
    async open(id: string): Promise<boolean> {
        if (!this.get(id)) {
            const conversation = await this.#database.load(id);
            if (!conversation) return false;
            this.#written.set(id, conversation);
            this.#set(conversation);
            this.#settle(conversation);
        }
        this.currentId.value = id;
        this.#dropUnused();
        return true;
    }

    /** Shows a new conversation, with the default settings. */
    create(): Conversation {
        const shown = this.current.value;
        if (shown && isEmpty(shown)) return shown;
        const conversation = newConversation(DEFAULT_SETTINGS);
        this.#set(conversation);
        this.currentId.value = conversation.id;
        this.#dropUnused();
        return conversation;
    }

    /** Adds conversations, such as from a file, and shows the first. */
    add(conversations: Conversation[]): void {
        for (const conversation of conversations) {
            this.#set(conversation);
            this.#changed(conversation.id);
        }
        const first = conversations[0];
        if (first) this.currentId.value = first.id;
    }

    /** Changes a conversation that is loaded. */
    update(id: string, change: (conversation: Conversation) => Conversation): void {
        const before = this.get(id);
        if (!before) return;
        this.#set(change(before));
        this.#changed(id);
    }

    async rename(id: string, title: string): Promise<void> {
        const conversation = this.get(id) ?? (await this.#database.load(id));
        if (!conversation) return;
        this.#set({ ...conversation, title });
        this.#changed(id);
    }

    async remove(id: string): Promise<void> {
        const conversation = this.get(id) ?? (await this.#database.load(id));
        this.#drop(id);
        if (conversation) {
            this.removed.value = conversation;
            clearTimeout(this.#forget);
            this.#forget = setTimeout(() => (this.removed.value = null), RESTORE_MS);
        }
        await this.#database.remove(id);
        this.#tell({ kind: "removed", id });
    }

    /** Brings back the conversation that was removed last. */
    restore(): void {
        const conversation = this.removed.value;
        if (!conversation) return;
        this.removed.value = null;
        this.add([conversation]);
    }

    async all(): Promise<Conversation[]> {
        const kept = new Map((await this.#database.all()).map((found) => [found.id, found]));
        for (const id of this.#unsaved.keys()) {
            const conversation = this.get(id);
            if (conversation) kept.set(id, conversation);
        }
        return [...kept.values()].sort((a, b) => b.changed - a.changed);
    }

    search(query: string): Promise<Set<string>> {
        return this.#database.search(query);
    }

    /** Writes all changes now. */
    async flush(): Promise<void> {
        await Promise.all([...this.#unsaved.keys()].map((id) => this.save(id)));
    }

    /** Writes a conversation now. */
    async save(id: string): Promise<void> {
        const conversation = this.get(id);
        const change = this.#unsaved.get(id);
        if (!conversation || change === undefined) return;
        this.#pause(id, change);
        await this.#database.save(conversation);
        if (this.#unsaved.get(id) === change) this.#unsaved.delete(id);
        if (this.get(id)) this.#written.set(id, conversation);
        this.#tell({ kind: "changed", id });
    }

    /** Keeps all changes that are not written, because the page is closed. */
    keepUnsaved(): void {
        for (const id of this.#unsaved.keys()) {
            const conversation = this.get(id);
            if (!conversation) continue;
            this.rescue.keep(conversation, this.#written.get(id));
            this.#tell({ kind: "changed", id });
        }
    }

    /** Writes what pages kept when they were closed. */
    recover(): Promise<void> {
        return this.rescue.drain((conversation) => this.#database.save(conversation));
    }

    #set(conversation: Conversation): void {
        this.#loaded.value = new Map(this.#loaded.value).set(conversation.id, conversation);
    }

    #changed(id: string): void {
        const conversation = this.get(id);
        if (!conversation) return;
        this.#list(headOf(conversation));
        this.#changes += 1;
        this.#unsaved.set(id, this.#changes);
        if (!this.#pauses.has(id)) void this.save(id);
    }

    /** Lets the changes after `change` wait for each other. */
    #pause(id: string, change: number): void {
        clearTimeout(this.#pauses.get(id));
        const timer = setTimeout(() => {
            this.#pauses.delete(id);
            const last = this.#unsaved.get(id);
            if (last !== undefined && last > change) void this.save(id);
        }, SAVE_PAUSE_MS);
        this.#pauses.set(id, timer);
    }

    #list(head: Head): void {
        const before = this.heads.value.find(({ id }) => id === head.id);
        if (before && before.title === head.title && before.changed === head.changed) return;
        this.heads.value = sorted([
            head,
            ...this.heads.value.filter((other) => other.id !== head.id),
        ]);
    }

    #drop(id: string): void {
        clearTimeout(this.#pauses.get(id));
        this.#pauses.delete(id);
        this.#unsaved.delete(id);
        this.#written.delete(id);
        this.heads.value = this.heads.value.filter((head) => head.id !== id);
        const loaded = new Map(this.#loaded.value);
        loaded.delete(id);
        this.#loaded.value = loaded;
        if (this.currentId.value === id) {
            this.currentId.value = null;
            this.create();
        }
    }

    /** Keeps in memory only what is shown, runs, or is not written. */
    #dropUnused(): void {
        this.#loaded.value = new Map(
            [...this.#loaded.value].filter(
                ([id]) =>
                    id === this.currentId.value || this.isRunning(id) || this.#unsaved.has(id),
            ),
        );
        for (const id of this.#written.keys()) if (!this.get(id)) this.#written.delete(id);
    }

    #tell(message: TabMessage): void {
        this.channel.postMessage(message);
    }

    async #hear(message: TabMessage): Promise<void> {
        const { kind, id } = message;
        switch (kind) {
            case "changed":
                return this.#reload(id);
            case "removed":
                if (this.get(id)) this.onRemoved(id);
                return this.#drop(id);
            case "asks":
                if (this.isRunning(id)) this.#tell({ kind: "runs", id });
                return;
            case "runs":
                clearTimeout(this.#asked.get(id));
                this.#asked.delete(id);
        }
    }

    /** Takes over what another tab has written. */
    async #reload(id: string): Promise<void> {
        await this.recover();
        const kept = await this.#database.load(id);
        if (!kept) return;
        this.#list(headOf(kept));
        const mine = this.get(id);
        if (!mine) return;
        const merged = merge(kept, mine);
        this.#set(this.#unsaved.has(id) ? { ...mine, messages: merged.messages } : merged);
    }

    /** Marks the answers of a closed page as interrupted, unless another tab says that they run. */
    #settle(conversation: Conversation): void {
        const { id } = conversation;
        if (!Object.values(conversation.messages).some(isUnfinished) || this.isRunning(id)) return;
        clearTimeout(this.#asked.get(id));
        this.#asked.set(
            id,
            setTimeout(() => {
                this.#asked.delete(id);
                if (!this.isRunning(id)) this.update(id, interrupted);
            }, CLAIM_MS),
        );
        this.#tell({ kind: "asks", id });
    }
}

/** Whether nothing was written in the conversation. */
export function isEmpty(conversation: Conversation): boolean {
    return conversation.leaf === null && conversation.draft === "";
}

function isUnfinished({ role, outcome }: ChatMessage): boolean {
    return role === "assistant" && outcome === undefined;
}

function interrupted(conversation: Conversation): Conversation {
    const messages = { ...conversation.messages };
    for (const message of Object.values(messages)) {
        if (isUnfinished(message)) {
            messages[message.id] = { ...message, outcome: { kind: "interrupted" } };
        }
    }
    return { ...conversation, messages };
}

function sorted(heads: Head[]): Head[] {
    return heads.sort((a, b) => b.changed - a.changed);
}

/** After a write, how long further changes wait to be written together. */
const SAVE_PAUSE_MS = 400;

/** How long other tabs have to say that an answer runs there. */
export const CLAIM_MS = 300;

/** How long a removed conversation can be restored. */
export const RESTORE_MS = 10_000;
