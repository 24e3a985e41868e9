/** What is sent for an answer: the messages before it, and the settings of its conversation. */

import type { InferRequest, Message, SentToolCall } from "../protocol";
import type { ChatMessage, ChatSettings } from "./types";

/**
 * The request for an answer to `messages`. If the last of them is the model's, the model continues
 * it.
 */
export function requestFor(settings: ChatSettings, messages: ChatMessage[]): InferRequest {
    const params = { ...settings.params, progress: true };
    if (settings.showsProbabilities) params.logprobs ||= DEFAULT_RIVALS;
    else delete params.logprobs;
    const common: InferRequest = settings.format ? { format: settings.format, params } : { params };
    if (settings.mode === "raw") {
        return { ...common, prompt: messages.map(({ text }) => text).join("") };
    }
    const last = messages.at(-1);
    return {
        ...common,
        messages: sentMessages(settings.system, messages),
        reasoning: true,
        ...(settings.thinking !== null && { enable_thinking: settings.thinking }),
        ...(settings.tools.length > 0 && {
            tools: settings.tools.map(({ tool }) => tool),
            // The call that was asked for has been made.
            tool_choice: last?.role === "tool" ? "auto" : settings.toolChoice,
        }),
        ...(last?.role === "assistant" && { continue_final_message: true }),
    };
}

function sentMessages(system: string, messages: ChatMessage[]): Message[] {
    const sent: Message[] = system.trim() ? [{ role: "system", content: system }] : [];
    const answered = new Set(messages.map(({ callId }) => callId));
    for (const message of messages) {
        const before = sent.at(-1);
        if (message.role === "assistant") {
            const answer = sentAnswer(message, answered);
            if (answer) sent.push(answer);
        } else if (message.role === "tool") {
            sent.push({
                role: "tool",
                content: message.text,
                ...(message.callId !== undefined && { tool_call_id: message.callId }),
                ...(message.toolName !== undefined && { name: message.toolName }),
            });
        } else if (before?.role === "user") {
            // The answer between them failed. Many templates want the roles to alternate.
            before.content = `${String(before.content)}\n\n${message.text}`;
        } else {
            sent.push({ role: "user", content: message.text });
        }
    }
    return sent;
}

/** An answer as it is sent back; `null` if there is nothing in it. */
function sentAnswer(message: ChatMessage, answered: Set<string | undefined>): Message | null {
    // Templates expect a result for each call, and a broken call has none.
    const calls: SentToolCall[] = (message.calls ?? [])
        .filter(({ id }) => answered.has(id))
        .map(({ id, name, arguments: text }) => ({
            id,
            type: "function",
            function: { name, arguments: text },
        }));
    if (!message.text && !message.reasoning && calls.length === 0) return null;
    return {
        role: "assistant",
        content: message.text,
        ...(message.reasoning && { reasoning_content: message.reasoning }),
        ...(calls.length > 0 && { tool_calls: calls }),
    };
}

/** How many rivals of each token are shown unless the settings say. */
export const DEFAULT_RIVALS = 5;
