/** Where the user writes. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { t } from "../i18n";
import { connection } from "../session";
import { Button } from "../ui/button";
import { Icon } from "../ui/icon";
import { awaitsResults } from "./calls";
import { settingsFault } from "./panel/faults";
import { answers, chatProblem, mayAsk, showsSettings, store } from "./state";
import type { ChatSettings, Conversation } from "./types";

export function Composer({ conversation }: { conversation: Conversation }) {
    const area = useRef<HTMLTextAreaElement>(null);
    const { id, draft, settings } = conversation;
    const running = answers.of(id);
    const last = conversation.leaf === null ? undefined : conversation.messages[conversation.leaf];
    const needsResults = last !== undefined && awaitsResults(last);
    const isRaw = settings.mode === "raw";
    useLayoutEffect(() => {
        if (area.current) fitHeight(area.current);
    }, [draft]);
    useEffect(() => {
        // A keyboard on the screen would hide the conversation.
        if (!hasTouch()) area.current?.focus();
    }, [id]);
    const send = () => {
        if (!draft.trim() || running || needsResults || !mayAsk()) return;
        answers.send(id, isRaw ? draft : draft.trim());
    };
    const onKeyDown = (event: KeyboardEvent) => {
        if (event.key === "Escape" && running) {
            event.preventDefault();
            running.stop();
        } else if (event.key === "Enter" && !event.isComposing && sends(event)) {
            event.preventDefault();
            send();
        }
    };
    return (
        <form
            class="composer"
            onSubmit={(event) => {
                event.preventDefault();
                send();
            }}
        >
            <Notice needsResults={needsResults && !running} />
            <div class="composer-box">
                <textarea
                    ref={area}
                    id={COMPOSER_ID}
                    rows={1}
                    dir="auto"
                    aria-label={t(isRaw ? "chat.composer.raw" : "chat.composer.label")}
                    placeholder={t(isRaw ? "chat.composer.raw" : "chat.composer.placeholder")}
                    value={draft}
                    onInput={({ currentTarget: { value } }) =>
                        store.update(id, (before) => ({ ...before, draft: value }))
                    }
                    onKeyDown={onKeyDown}
                />
                <div class="composer-bar">
                    <Chips settings={settings} />
                    {running ? (
                        <Button icon="stop" onClick={() => running.stop()}>
                            {t("chat.stop")}
                        </Button>
                    ) : (
                        <Button
                            icon="send"
                            kind="primary"
                            type="submit"
                            disabled={!draft.trim() || needsResults}
                        >
                            {t("chat.send")}
                        </Button>
                    )}
                </div>
            </div>
        </form>
    );
}

export function focusComposer(): void {
    requestAnimationFrame(() => document.getElementById(COMPOSER_ID)?.focus());
}

/** What the user has to know before sending. */
function Notice({ needsResults }: { needsResults: boolean }) {
    const problem = chatProblem.value;
    const fault = settingsFault.value;
    const texts = [
        problem !== null && t("chat.problem"),
        needsResults && t("chat.results.needed"),
        fault !== null && t("chat.refused", { ...fault }),
        connection.value.kind === "key-needed" && t("chat.waits.key"),
        !["open", "key-needed"].includes(connection.value.kind) && t("chat.waits"),
    ].filter((text) => text !== false);
    return (
        <>
            {texts.map((text) => (
                <p key={text} class="composer-notice">
                    <Icon name="info" />
                    <span>{text}</span>
                </p>
            ))}
        </>
    );
}

/** The settings that change what an answer is. */
function Chips({ settings }: { settings: ChatSettings }) {
    const { mode, system, params, format, tools, thinking, showsProbabilities } = settings;
    const nParams = Object.keys(params).filter((name) => name !== "logprobs").length;
    const chips = [
        mode === "raw" && t("chat.chip.raw"),
        system.trim() !== "" && mode === "chat" && t("chat.chip.system"),
        format !== null && t("chat.chip.format"),
        tools.length > 0 && mode === "chat" && t("chat.chip.tools", { n: tools.length }),
        thinking !== null && t(thinking ? "chat.chip.thinking" : "chat.chip.no-thinking"),
        showsProbabilities && t("chat.chip.probabilities"),
        nParams > 0 && t("chat.chip.params", { n: nParams }),
    ].filter((text) => text !== false);
    return (
        <div class="chips">
            {chips.map((text) => (
                <button
                    key={text}
                    type="button"
                    class="chip"
                    title={t("chat.settings.show")}
                    onClick={() => (showsSettings.value = true)}
                >
                    {text}
                </button>
            ))}
        </div>
    );
}

/** Makes the field as high as its text; the style sheet limits it. */
export function fitHeight(area: HTMLTextAreaElement): void {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
}

/** Whether Enter sends with these modifiers: on the keyboard of a screen only with Ctrl. */
function sends({ ctrlKey, metaKey, shiftKey }: KeyboardEvent): boolean {
    return ctrlKey || metaKey || (!shiftKey && !hasTouch());
}

function hasTouch(): boolean {
    return matchMedia("(pointer: coarse)").matches;
}

const COMPOSER_ID = "composer";
