import { describe, expect, it } from "vitest";

import {
    append,
    branch,
    children,
    newConversation,
    newMessage,
    replace,
    show,
    titleFrom,
} from "../../../src/chat/tree";
import { DEFAULT_SETTINGS, type ChatMessage } from "../../../src/chat/types";

let clock = 0;

/** A message that is newer than all before. */
function message(parent: ChatMessage | null, role: ChatMessage["role"], text: string): ChatMessage {
    return { ...newMessage(parent?.id ?? null, role, text), created: clock++ };
}

function texts(messages: ChatMessage[]): string[] {
    return messages.map(({ text }) => text);
}

describe("the tree of messages", () => {
    const question = message(null, "user", "question");
    const first = message(question, "assistant", "first");
    const second = message(question, "assistant", "second");
    const more = message(second, "user", "more");
    const empty = newConversation(DEFAULT_SETTINGS);
    const full = append(empty, question, first, second, more);

    it("shows the branch of the last message", () => {
        expect(texts(branch(full))).toEqual(["question", "second", "more"]);
    });

    it("shows the newest end of the branch that is chosen", () => {
        const other = show(full, first.id);
        expect(texts(branch(other))).toEqual(["question", "first"]);
        expect(texts(branch(show(other, second.id)))).toEqual(["question", "second", "more"]);
    });

    it("lists the messages beside each other, oldest first", () => {
        expect(children(full).get(question.id)).toEqual([first.id, second.id]);
        expect(children(full).get(null)).toEqual([question.id]);
    });

    it("leaves the conversation before a change as it was", () => {
        replace(full, { ...first, text: "changed" });
        expect(full.messages[first.id]?.text).toBe("first");
        expect(empty.messages).toEqual({});
    });

    it("ends at a message that is its own ancestor", () => {
        const circle = replace(full, { ...question, parent: more.id });
        expect(branch(circle)).toHaveLength(3);
        expect(show(circle, first.id).leaf).toBe(first.id);
    });
});

describe("titleFrom", () => {
    it("takes the first line", () => {
        expect(titleFrom("\n Hello \nworld")).toBe("Hello");
    });

    it("shortens a long line between characters", () => {
        expect(titleFrom("😀".repeat(100))).toBe(`${"😀".repeat(60)}…`);
    });
});

describe("the title of a conversation", () => {
    it.each([
        ["**Bold** and `code`", "Bold and code"],
        ["## A *heading*", "A heading"],
        ["snake_case and 2 * 3 * 4", "snake_case and 2 * 3 * 4"],
    ])("has no marks of Markdown: %s", (text, title) => expect(titleFrom(text)).toBe(title));
});
