/**
 * What the database may not get in time because the page is closed. The browser's local storage
 * takes it at once; the next page moves it to the database.
 */

import type { Conversation } from "./types";

/** The part of a `Storage` that is used. */
export type RescueStorage = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export class Rescue {
    constructor(private readonly storage: () => RescueStorage) {}

    /**
     * Keeps what `conversation` has and `written`, its state in the database, has not. Of more than
     * `MAX_LENGTH` characters only the settings and the draft are kept.
     */
    keep(conversation: Conversation, written: Conversation | undefined): void {
        const messages = Object.fromEntries(
            Object.entries(conversation.messages).filter(
                ([id, message]) => written?.messages[id] !== message,
            ),
        );
        const leaf = written?.leaf ?? null;
        const small = { ...conversation, messages: {}, leaf };
        for (const part of [{ ...conversation, messages }, small]) {
            const text = JSON.stringify(part);
            if (text.length <= MAX_LENGTH && this.#write(conversation.id, text)) return;
        }
    }

    /** Gives each conversation that was kept to `save`, and forgets it once that is done. */
    async drain(save: (conversation: Conversation) => Promise<void>): Promise<void> {
        for (const key of this.#keys()) {
            const text = this.#read(key);
            const conversation = text === null ? null : parse(text);
            if (conversation) await save(conversation);
            // Another page may have kept more in the meantime.
            if (this.#read(key) === text) this.storage().removeItem(key);
        }
    }

    #keys(): string[] {
        try {
            const storage = this.storage();
            const keys = Array.from({ length: storage.length }, (_, at) => storage.key(at) ?? "");
            return keys.filter((key) => key.startsWith(PREFIX));
        } catch {
            // Storage is switched off.
            return [];
        }
    }

    #read(key: string): string | null {
        return this.storage().getItem(key);
    }

    /** False if there is no space for it. */
    #write(id: string, text: string): boolean {
        try {
            this.storage().setItem(PREFIX + id, text);
            return true;
        } catch {
            return false;
        }
    }
}

function parse(text: string): Conversation | null {
    try {
        return JSON.parse(text) as Conversation;
    } catch {
        return null;
    }
}

/** The prefix of all keys, followed by the id of a conversation. */
const PREFIX = "inference-core.unsaved.";

/** Characters of a conversation that are kept. Browsers give a site about five million. */
const MAX_LENGTH = 512 * 1024;
