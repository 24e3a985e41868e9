/** The calls of tools in an answer, and their results. */

import { useSignal } from "@preact/signals";

import { t } from "../i18n";
import { Button } from "../ui/button";
import { Field } from "../ui/field";
import { Icon } from "../ui/icon";
import { completeCalls, mockResults } from "./calls";
import { Json } from "./json-text";
import { answers, mayAsk, store } from "./state";
import type { ChatMessage, ChatToolCall } from "./types";

export function ToolCalls({ calls, isOpen }: { calls: ChatToolCall[]; isOpen: boolean }) {
    return (
        <>
            {calls.map((call) => (
                <section key={call.id} class="tool-card">
                    <h3>
                        <Icon name="requests" />
                        <span>{t("chat.call", { name: call.name })}</span>
                    </h3>
                    <Json text={call.arguments} isOpen={isOpen} />
                </section>
            ))}
        </>
    );
}

export function ToolResult({ message }: { message: ChatMessage }) {
    return (
        <section class="tool-card">
            <h3>
                <Icon name="check" />
                <span>{t("chat.result", { name: message.toolName ?? t("common.unknown") })}</span>
            </h3>
            <Json text={message.text} isOpen={false} />
        </section>
    );
}

/** Asks for the results of the calls in `message`. */
export function ResultForm({
    conversation,
    message,
}: {
    conversation: string;
    message: ChatMessage;
}) {
    const calls = completeCalls(message);
    const found = store.get(conversation);
    const results = useSignal(found ? mockResults(found, message).map((text) => text ?? "") : []);
    return (
        <form
            class="tool-card"
            onSubmit={(event) => {
                event.preventDefault();
                if (mayAsk()) answers.giveResults(conversation, message, results.value);
            }}
        >
            {calls.map((call, index) => (
                <Field
                    key={call.id}
                    label={t("chat.result", { name: call.name })}
                    help={t("chat.result.help")}
                >
                    {(attributes) => (
                        <textarea
                            {...attributes}
                            rows={3}
                            dir="auto"
                            spellcheck={false}
                            value={results.value[index] ?? ""}
                            onInput={({ currentTarget: { value } }) =>
                                (results.value = results.value.map((other, i) =>
                                    i === index ? value : other,
                                ))
                            }
                        />
                    )}
                </Field>
            ))}
            <div class="form-actions">
                <Button kind="primary" icon="send" type="submit">
                    {t("chat.results.send")}
                </Button>
            </div>
        </form>
    );
}
