import { describe, expect, it } from "vitest";

import { requestFor } from "../../../src/chat/request";
import { DEFAULT_SETTINGS, type ChatMessage, type ChatSettings } from "../../../src/chat/types";

function settings(changed: Partial<ChatSettings> = {}): ChatSettings {
    return { ...DEFAULT_SETTINGS, ...changed };
}

function message(role: ChatMessage["role"], text: string, more: Partial<ChatMessage> = {}) {
    return { id: text, parent: null, role, text, created: 0, ...more };
}

describe("requestFor", () => {
    it("sends the system prompt, the messages and the thinking of answers", () => {
        const request = requestFor(settings({ system: "Be short." }), [
            message("user", "Hi"),
            message("assistant", "Hello", { reasoning: "A greeting." }),
            message("user", "More"),
        ]);
        expect(request.reasoning).toBe(true);
        expect(request.params?.progress).toBe(true);
        expect(request.messages).toEqual([
            { role: "system", content: "Be short." },
            { role: "user", content: "Hi" },
            { role: "assistant", content: "Hello", reasoning_content: "A greeting." },
            { role: "user", content: "More" },
        ]);
    });

    it("joins the questions around an answer that failed", () => {
        const request = requestFor(settings(), [
            message("user", "one"),
            message("assistant", ""),
            message("user", "two"),
        ]);
        expect(request.messages).toEqual([{ role: "user", content: "one\n\ntwo" }]);
    });

    it("continues the answer that stands last", () => {
        const messages = [message("user", "Hi"), message("assistant", "Hel")];
        expect(requestFor(settings(), messages).continue_final_message).toBe(true);
    });

    it("sends calls with their results, and no call without a result", () => {
        const calls = [
            { id: "1", name: "now", arguments: "{}" },
            { id: "2", name: "broken", arguments: '{"a' },
        ];
        const tool = { type: "function" as const, function: { name: "now" } };
        const request = requestFor(
            settings({ tools: [{ tool, result: null }], toolChoice: "required" }),
            [
                message("user", "Time?"),
                message("assistant", "", { calls }),
                message("tool", "12:00", { callId: "1", toolName: "now" }),
            ],
        );
        expect(request.tools).toEqual([tool]);
        expect(request.tool_choice).toBe("auto");
        expect(request.messages?.slice(1)).toEqual([
            {
                role: "assistant",
                content: "",
                tool_calls: [
                    { id: "1", type: "function", function: { name: "now", arguments: "{}" } },
                ],
            },
            { role: "tool", content: "12:00", tool_call_id: "1", name: "now" },
        ]);
    });

    it("sends the whole text of a raw conversation", () => {
        const request = requestFor(settings({ mode: "raw", system: "unused" }), [
            message("user", "Once "),
            message("assistant", "upon"),
            message("user", " a time"),
        ]);
        expect(request).toEqual({ prompt: "Once upon a time", params: { progress: true } });
    });

    it("asks for probabilities only if they are shown", () => {
        const params = { logprobs: 3 };
        const logprobs = (changed: Partial<ChatSettings>) =>
            requestFor(settings(changed), [message("user", "x")]).params?.logprobs;
        expect(logprobs({ params })).toBeUndefined();
        expect(logprobs({ params, showsProbabilities: true })).toBe(3);
        expect(logprobs({ showsProbabilities: true })).toBe(5);
    });

    it("sends the format and whether the model thinks", () => {
        const request = requestFor(settings({ format: "json", thinking: false }), [
            message("user", "x"),
        ]);
        expect(request).toMatchObject({ format: "json", enable_thinking: false });
    });
});
