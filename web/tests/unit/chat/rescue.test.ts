import { beforeEach, describe, expect, it } from "vitest";

import { Rescue, type RescueStorage } from "../../../src/chat/rescue";
import { append, newConversation, newMessage } from "../../../src/chat/tree";
import { DEFAULT_SETTINGS, type Conversation } from "../../../src/chat/types";

const written = append(newConversation(DEFAULT_SETTINGS), newMessage(null, "user", "written"));

/** A draft, and a message with `text`, that are not written. */
function changed(text: string): Conversation {
    return { ...append(written, newMessage(written.leaf, "user", text)), draft: "typed" };
}

async function drained(rescue: Rescue): Promise<Conversation[]> {
    const found: Conversation[] = [];
    await rescue.drain((conversation) => {
        found.push(conversation);
        return Promise.resolve();
    });
    return found;
}

describe("what is rescued of a conversation", () => {
    const rescue = new Rescue(() => localStorage);

    beforeEach(() => localStorage.clear());

    it("is what the database has not", async () => {
        rescue.keep(changed("new"), written);
        const [found] = await drained(rescue);
        expect(found?.draft).toBe("typed");
        expect(Object.values(found?.messages ?? {}).map(({ text }) => text)).toEqual(["new"]);
    });

    it("is all of it if the database has nothing", async () => {
        const conversation = changed("new");
        rescue.keep(conversation, undefined);
        expect(await drained(rescue)).toEqual([conversation]);
    });

    it("is the draft alone if it is too much", async () => {
        rescue.keep(changed("x".repeat(600_000)), written);
        const [found] = await drained(rescue);
        expect(found).toMatchObject({ draft: "typed", messages: {}, leaf: written.leaf });
    });

    it("is given once", async () => {
        rescue.keep(changed("new"), written);
        expect(await drained(rescue)).toHaveLength(1);
        expect(await drained(rescue)).toEqual([]);
    });

    it("is nothing where nothing can be stored", async () => {
        const full: RescueStorage = {
            length: 0,
            key: () => null,
            getItem: () => null,
            removeItem: () => {},
            setItem: () => {
                throw new DOMException("full", "QuotaExceededError");
            },
        };
        const none = new Rescue(() => full);
        none.keep(changed("new"), written);
        expect(await drained(none)).toEqual([]);
    });

    it("may stand beside other values, and damaged ones are dropped", async () => {
        localStorage.setItem("inference-core.theme", '"dark"');
        localStorage.setItem("inference-core.unsaved.x", "{");
        expect(await drained(rescue)).toEqual([]);
        expect(localStorage.length).toBe(1);
    });
});
