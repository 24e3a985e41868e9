/** What a conversation is, as it is kept in the browser. */

import type { EndFrame, Format, Logprob, Params, Tool, ToolChoice } from "../protocol";

/** A conversation: a tree of messages. Editing or retrying adds a branch. */
export interface Conversation {
    id: string;
    title: string;
    /** Milliseconds of the epoch. */
    created: number;
    changed: number;
    settings: ChatSettings;
    /** All messages, by their ids. */
    messages: Record<string, ChatMessage>;
    /** The last message of the branch that is shown; `null` if there is no message. */
    leaf: string | null;
    /** Text that was typed and not sent. */
    draft: string;
}

export interface ChatMessage {
    id: string;
    parent: string | null;
    role: "user" | "assistant" | "tool";
    text: string;
    created: number;
    /** Only of the assistant. */
    reasoning?: string;
    /** How long the model thought. */
    reasoningMs?: number;
    calls?: ChatToolCall[];
    /** How many characters of the text come before the calls. */
    callsAt?: number;
    /** Only of a tool's result: the call that it answers. */
    callId?: string;
    toolName?: string;
    logprobs?: Logprob[];
    /** Absent while the answer runs. */
    outcome?: Outcome;
}

export interface ChatToolCall {
    id: string;
    name: string;
    arguments: string;
}

/** How an answer ended. */
export type Outcome =
    | {
          kind: "ended";
          end: Pick<EndFrame, "finish_reason" | "limit" | "warnings" | "stats"> & {
              /** Stopped, but not by this page. */
              isStoppedElsewhere?: true;
          };
      }
    /** `interrupted`: the page was closed, or the connection lost. */
    | { kind: "failed"; code: string; message: string }
    | { kind: "interrupted" };

/** A tool whose result the user gives, or which answers always the same. */
export interface MockTool {
    tool: Tool;
    /** The result of each call; `null` asks the user. */
    result: string | null;
}

/** What each request of a conversation has besides its messages. */
export interface ChatSettings {
    /** Messages through the chat template, or a raw text that the model continues. */
    mode: "chat" | "raw";
    system: string;
    params: Params;
    format: Format | null;
    tools: MockTool[];
    toolChoice: ToolChoice;
    /** Whether thinking models think; `null` leaves it to the template. */
    thinking: boolean | null;
    /** Whether the probabilities of tokens are asked for. */
    showsProbabilities: boolean;
}

export const DEFAULT_SETTINGS: ChatSettings = {
    mode: "chat",
    system: "",
    params: {},
    format: null,
    tools: [],
    toolChoice: "auto",
    thinking: null,
    showsProbabilities: false,
};
