/**
 * The tree of a conversation's messages, and the branch of it that is shown. All functions leave
 * their arguments as they are.
 */

import { newId } from "./id";
import type { ChatMessage, ChatSettings, Conversation } from "./types";

export function newConversation(settings: ChatSettings): Conversation {
    const now = Date.now();
    return {
        id: newId(),
        title: "",
        created: now,
        changed: now,
        settings,
        messages: {},
        leaf: null,
        draft: "",
    };
}

/** A message below `parent`, with a new id. */
export function newMessage(
    parent: string | null,
    role: ChatMessage["role"],
    text: string,
): ChatMessage {
    return { id: newId(), parent, role, text, created: Date.now() };
}

/** The messages from the first one to `leaf`, which is the one that is shown unless given. */
export function branch(
    conversation: Conversation,
    leaf: string | null = conversation.leaf,
): ChatMessage[] {
    const messages: ChatMessage[] = [];
    const seen = new Set<string>();
    let id = leaf;
    while (id !== null && !seen.has(id)) {
        seen.add(id);
        const message = conversation.messages[id];
        if (!message) break;
        messages.push(message);
        id = message.parent;
    }
    return messages.reverse();
}

/** The ids of the messages below each message, oldest first; those without a parent at `null`. */
export function children(conversation: Conversation): Map<string | null, string[]> {
    const found = new Map<string | null, string[]>();
    const messages = Object.values(conversation.messages);
    messages.sort((a, b) => a.created - b.created);
    for (const { id, parent } of messages) {
        const ids = found.get(parent);
        if (ids) ids.push(id);
        else found.set(parent, [id]);
    }
    return found;
}

/** Adds messages, and shows the branch of the last one. */
export function append(conversation: Conversation, ...added: ChatMessage[]): Conversation {
    const messages = { ...conversation.messages };
    for (const message of added) messages[message.id] = message;
    const leaf = added.at(-1)?.id ?? conversation.leaf;
    return { ...conversation, messages, leaf, changed: Date.now() };
}

/** Puts `message` in the place of the one with its id. */
export function replace(conversation: Conversation, message: ChatMessage): Conversation {
    const messages = { ...conversation.messages, [message.id]: message };
    return { ...conversation, messages };
}

/** Shows the branch of the message `id`, down to its newest end. */
export function show(conversation: Conversation, id: string): Conversation {
    const below = children(conversation);
    const seen = new Set<string>();
    let leaf = id;
    for (;;) {
        seen.add(leaf);
        const next = below.get(leaf)?.at(-1);
        if (next === undefined || seen.has(next)) return { ...conversation, leaf };
        leaf = next;
    }
}

/** The title of a conversation that begins with `text`: its first line, shortened. */
export function titleFrom(text: string): string {
    const first = text.trim().split(/\r?\n/, 1)[0]?.trim() ?? "";
    // A character has at most two units, and marks may take some more.
    const line = withoutMarks(first.slice(0, 4 * MAX_TITLE));
    const characters = [...line];
    return characters.length <= MAX_TITLE ? line : `${characters.slice(0, MAX_TITLE).join("")}…`;
}

/** `line` without the marks of Markdown. */
function withoutMarks(line: string): string {
    return line
        .replace(/^(?:#{1,6}|>|[-*+])\s+/, "")
        .replace(/(\*\*|__|~~|`)(?=\S)(.+?)\1/g, "$2")
        .replace(/(^|[^\w*])\*(?=\S)([^*]+)\*(?![\w*])/g, "$1$2");
}

/** In characters. */
const MAX_TITLE = 60;
