/** Conversations as files: JSON to read again, and Markdown for people. */

import { t } from "../i18n";
import { WrongField } from "./decode";
import { conversation as readConversation } from "./exchange-format";
import { newId } from "./id";
import type { ChatMessage, Conversation } from "./types";

/** The largest file that is read. */
export const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** The text of a file that {@link fromJson} reads. */
export function toJson(conversations: Conversation[]): string {
    return JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 1);
}

/**
 * The conversations in the text of a file. They and their messages get new ids, so that they
 * replace none. Throws an `Error` whose message is for the user.
 */
export function fromJson(text: string): Conversation[] {
    if (text.length > MAX_FILE_BYTES) {
        throw new Error(t("exchange.too-large", { mib: MAX_FILE_BYTES / 1024 / 1024 }));
    }
    return conversationsIn(parse(text)).map((value, index) => {
        try {
            return renewed(readConversation(value, ""));
        } catch (error) {
            if (!(error instanceof WrongField)) throw error;
            throw new Error(t("exchange.broken", { n: index + 1, field: error.field }));
        }
    });
}

/** The conversations in `added` that `present` has not, whatever their ids are. */
export function withoutKnown(added: Conversation[], present: Conversation[]): Conversation[] {
    const known = new Set(present.map(contentOf));
    return added.filter((conversation) => !known.has(contentOf(conversation)));
}

/** The branch of `conversation` that is shown, as Markdown. */
export function toMarkdown(conversation: Conversation): string {
    const title = oneLine(conversation.title) || t("exchange.untitled");
    const parts = [`# ${title}`];
    const { system, mode } = conversation.settings;
    if (system.trim() && mode === "chat") {
        parts.push(`## ${t("exchange.system")}`, system.trim());
    }
    for (const message of shownBranch(conversation)) parts.push(...messageParts(message));
    return `${parts.join("\n\n")}\n`;
}

/** What was written in a conversation, and when. */
function contentOf({ created, messages }: Conversation): string {
    const parts = Object.values(messages).map(({ created, role, text }) => [created, role, text]);
    return JSON.stringify([created, ...parts.map((part) => JSON.stringify(part)).sort()]);
}

/** Says what a file is. */
const FORMAT = "inference-core-conversations";
const VERSION = 1;

const MAX_CONVERSATIONS = 10_000;
/** As many as the server takes in one request. */
const MAX_MESSAGES = 16_384;

function parse(text: string): unknown {
    try {
        return JSON.parse(text);
    } catch {
        throw new Error(t("exchange.no-json"));
    }
}

/** The conversations in a file, which are still to be read. */
function conversationsIn(file: unknown): unknown[] {
    const { format, version, conversations } = (file ?? {}) as Record<string, unknown>;
    if (format !== FORMAT || typeof version !== "number" || !Array.isArray(conversations)) {
        throw new Error(t("exchange.foreign"));
    }
    if (version > VERSION) throw new Error(t("exchange.newer"));
    if (conversations.length > MAX_CONVERSATIONS) throw tooMany(MAX_CONVERSATIONS, "conversations");
    return conversations;
}

/** A conversation of a file with new ids. Answers that were running have ended. */
function renewed(conversation: Conversation): Conversation {
    const messages = Object.values(conversation.messages);
    if (messages.length > MAX_MESSAGES) throw tooMany(MAX_MESSAGES, "messages");
    const ids = new Map(messages.map(({ id }) => [id, newId()]));
    if (ids.size < messages.length) throw new WrongField("messages.id");
    checkTree(messages);
    const newIdOf = (id: string | null, field: string) => {
        if (id === null) return null;
        const found = ids.get(id);
        if (found === undefined) throw new WrongField(field);
        return found;
    };
    const copies = messages.map((message) => {
        const id = newIdOf(message.id, "messages.id")!;
        const copy: ChatMessage = {
            ...message,
            id,
            parent: newIdOf(message.parent, "messages.parent"),
        };
        if (copy.role === "assistant") copy.outcome ??= { kind: "interrupted" };
        return [id, copy] as const;
    });
    return {
        ...conversation,
        id: newId(),
        messages: Object.fromEntries(copies),
        leaf: newIdOf(conversation.leaf, "leaf"),
    };
}

/** Checks that every message leads to a first one: parents in a circle would never end. */
function checkTree(messages: ChatMessage[]): void {
    const parents = new Map(messages.map(({ id, parent }) => [id, parent]));
    const checked = new Set<string>();
    for (const { id } of messages) {
        const path = new Set<string>();
        for (let at: string | null = id; at !== null && !checked.has(at);) {
            if (path.has(at)) throw new WrongField("messages.parent");
            path.add(at);
            at = parents.get(at) ?? null;
        }
        for (const id of path) checked.add(id);
    }
}

function tooMany(n: number, what: "conversations" | "messages"): Error {
    return new Error(t("exchange.too-many", { n, what: t(`exchange.${what}`) }));
}

function shownBranch({ messages, leaf }: Conversation): ChatMessage[] {
    const branch: ChatMessage[] = [];
    for (let id = leaf; id !== null && branch.length < MAX_MESSAGES;) {
        const message: ChatMessage | undefined = messages[id];
        if (!message) break;
        branch.unshift(message);
        id = message.parent;
    }
    return branch;
}

function messageParts(message: ChatMessage): string[] {
    const { role, text, reasoning, calls = [], toolName = "" } = message;
    if (role === "tool") {
        return [`## ${t("exchange.tool", { name: oneLine(toolName) })}`, fenced(text)];
    }
    const parts = [`## ${t(`exchange.${role}`)}`];
    if (reasoning) parts.push(`### ${t("exchange.reasoning")}`, quoted(reasoning));
    if (text) parts.push(text.trim());
    for (const { name, arguments: given } of calls) {
        parts.push(`### ${t("exchange.call", { name: oneLine(name) })}`, fenced(given, "json"));
    }
    return parts;
}

/** A code block. Its fence is longer than any in `text`. */
function fenced(text: string, language = ""): string {
    const ticks = text.match(/`{3,}/g) ?? [];
    const fence = "`".repeat(ticks.reduce((most, { length }) => Math.max(most, length + 1), 3));
    return `${fence}${language}\n${text}\n${fence}`;
}

function quoted(text: string): string {
    return text
        .trim()
        .split("\n")
        .map((line) => `> ${line}`.trimEnd())
        .join("\n");
}

function oneLine(text: string): string {
    return text.replace(/\s+/g, " ").trim();
}
