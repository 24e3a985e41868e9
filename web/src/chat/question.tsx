/** A message of the user, which can be edited and sent again. */

import { useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useEffect, useRef } from "preact/hooks";

import { t } from "../i18n";
import { Button } from "../ui/button";
import { BranchSwitch, type Place } from "./branch-switch";
import { fitHeight } from "./composer";
import { copy } from "./copy";
import { PlainText } from "./markdown/plain";
import { answers, mayAsk } from "./state";
import type { ChatMessage } from "./types";

export const Question = memo(
    ({
        conversation,
        message,
        place,
        isBusy,
    }: {
        conversation: string;
        message: ChatMessage;
        place: Place;
        isBusy: boolean;
    }) => {
        const isEdited = useSignal(false);
        return (
            <article class="message message-user" aria-label={t("chat.you")}>
                {isEdited.value ? (
                    <Editor
                        text={message.text}
                        onSend={(text) => {
                            if (!mayAsk()) return;
                            isEdited.value = false;
                            answers.resend(conversation, message, text);
                        }}
                        onCancel={() => (isEdited.value = false)}
                    />
                ) : (
                    <>
                        <div class="bubble">
                            <PlainText text={message.text} />
                        </div>
                        <footer
                            class={
                                place.count > 1 ? "message-footer has-branches" : "message-footer"
                            }
                        >
                            <BranchSwitch conversation={conversation} place={place} />
                            <Button icon="copy" onClick={() => void copy(message.text)}>
                                {t("common.copy")}
                            </Button>
                            {!isBusy && (
                                <Button icon="edit" onClick={() => (isEdited.value = true)}>
                                    {t("chat.edit")}
                                </Button>
                            )}
                        </footer>
                    </>
                )}
            </article>
        );
    },
);

function Editor({
    text,
    onSend,
    onCancel,
}: {
    text: string;
    onSend: (text: string) => void;
    onCancel: () => void;
}) {
    const edited = useSignal(text);
    const area = useRef<HTMLTextAreaElement>(null);
    useEffect(() => {
        if (!area.current) return;
        fitHeight(area.current);
        area.current.focus();
    }, []);
    const send = () => {
        if (edited.value.trim()) onSend(edited.value);
    };
    return (
        <form
            class="editor"
            onSubmit={(event) => {
                event.preventDefault();
                send();
            }}
        >
            <textarea
                ref={area}
                dir="auto"
                aria-label={t("chat.edit.label")}
                value={edited.value}
                onInput={({ currentTarget }) => {
                    edited.value = currentTarget.value;
                    fitHeight(currentTarget);
                }}
                onKeyDown={(event) => {
                    if (event.key === "Escape") onCancel();
                    else if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
                    else send();
                    event.preventDefault();
                }}
            />
            <div class="form-actions">
                <Button onClick={onCancel}>{t("common.cancel")}</Button>
                <Button kind="primary" icon="send" type="submit" disabled={!edited.value.trim()}>
                    {t("chat.edit.send")}
                </Button>
            </div>
        </form>
    );
}
