/** The calls of tools in an answer, and who gives their results. */

import type { ChatMessage, ChatToolCall, Conversation } from "./types";

/** The calls that are complete: one that broke off has arguments that are no JSON. */
export function completeCalls({ calls = [] }: ChatMessage): ChatToolCall[] {
    return calls.filter(({ arguments: text }) => isJson(text));
}

/** Whether results can be given: also to an answer that was cut after some of its calls. */
export function takesResults(message: ChatMessage): boolean {
    return message.outcome?.kind === "ended" && completeCalls(message).length > 0;
}

/** Whether the model waits for results: the answer is complete with its calls. */
export function awaitsResults(message: ChatMessage): boolean {
    const { outcome } = message;
    return (
        takesResults(message) &&
        outcome?.kind === "ended" &&
        outcome.end.finish_reason === "tool_calls"
    );
}

/** The results that were set for the complete calls of `message`; `null` for those that the user gives. */
export function mockResults(conversation: Conversation, message: ChatMessage): (string | null)[] {
    const { tools } = conversation.settings;
    return completeCalls(message).map(
        ({ name }) => tools.find(({ tool }) => tool.function.name === name)?.result ?? null,
    );
}

function isJson(text: string): boolean {
    try {
        JSON.parse(text);
        return true;
    } catch {
        return false;
    }
}
