/** An answer of the model: what it thought, said and called, and how it ended. */

import { useSignal } from "@preact/signals";
import { memo } from "preact/compat";

import { number, t } from "../i18n";
import { Button } from "../ui/button";
import { Detail } from "../ui/detail";
import { Icon } from "../ui/icon";
import { lazy } from "../ui/lazy";
import { errorWords, warningWords } from "../words";
import type { Phase, RunningAnswer } from "./answers";
import { takesResults } from "./calls";
import { copy } from "./copy";
import { BranchSwitch, type Place } from "./branch-switch";
import { Markdown } from "./markdown/markdown";
import { PlainText } from "./markdown/plain";
import { answers, mayAsk } from "./state";
import { duration, StatsLine } from "./stats";
import { isJsonText, Json } from "./json-text";
import { ResultForm, ToolCalls } from "./tool-calls";
import type { ChatMessage } from "./types";

const Probabilities = lazy(() => import("./probabilities").then((m) => m.Probabilities));

interface AnswerProps {
    conversation: string;
    message: ChatMessage;
    place: Place;
    /** Whether it is the last message that is shown. */
    isLast: boolean;
    isRaw: boolean;
    /** Whether an answer of the conversation runs. */
    isBusy: boolean;
}

/** An answer that runs. */
export function LiveAnswer({ running, isRaw }: { running: RunningAnswer; isRaw: boolean }) {
    const message = running.message.value;
    return (
        <article class="message message-assistant" aria-label={t("chat.model")} aria-busy="true">
            <Content message={message} isOpen isRaw={isRaw} />
            <Waiting phase={running.phase.value} />
        </article>
    );
}

export const Answer = memo((props: AnswerProps) => {
    const { conversation, message, isLast, isRaw, isBusy } = props;
    const mayGiveResults = isLast && !isBusy && takesResults(message);
    return (
        <article class="message message-assistant" aria-label={t("chat.model")}>
            <Content message={message} isOpen={false} isRaw={isRaw} />
            {mayGiveResults && <ResultForm conversation={conversation} message={message} />}
            <Ending {...props} />
        </article>
    );
});

function Content({
    message,
    isOpen,
    isRaw,
}: {
    message: ChatMessage;
    isOpen: boolean;
    isRaw: boolean;
}) {
    const { text, reasoning, calls, callsAt = text.length } = message;
    const [before, after] = [text.slice(0, callsAt), text.slice(callsAt)];
    return (
        <>
            {reasoning && <Reasoning message={message} isOpen={isOpen && !text && !calls} />}
            {before && <Text text={before} isOpen={isOpen && !calls} isRaw={isRaw} />}
            {calls && <ToolCalls calls={calls} isOpen={isOpen} />}
            {after && <Text text={after} isOpen={isOpen} isRaw={isRaw} />}
        </>
    );
}

function Text({ text, isOpen, isRaw }: { text: string; isOpen: boolean; isRaw: boolean }) {
    if (isRaw) return <PlainText text={text} />;
    if (isJsonText(text, isOpen)) {
        return (
            <div class="markdown">
                <Json text={text} isOpen={isOpen} />
            </div>
        );
    }
    return <Markdown text={text} isOpen={isOpen} />;
}

/** What the model thought, folded: it is rendered only if somebody unfolds it. */
function Reasoning({ message, isOpen }: { message: ChatMessage; isOpen: boolean }) {
    const isShown = useSignal(false);
    const { reasoning = "", reasoningMs } = message;
    const length = t("chat.reasoning.length", { n: number(reasoning.length, 0) });
    return (
        <details
            class="reasoning"
            open={isShown.value}
            onToggle={(event) => (isShown.value = event.currentTarget.open)}
        >
            <summary>
                {isOpen
                    ? t("chat.reasoning.now", { length })
                    : reasoningMs === undefined
                      ? t("chat.reasoning.past", { length })
                      : t("chat.reasoning.timed", { time: duration(reasoningMs), length })}
            </summary>
            {isShown.value && <Markdown text={reasoning} isOpen={isOpen} />}
        </details>
    );
}

/** What an answer waits for. */
function Waiting({ phase }: { phase: Phase }) {
    switch (phase.kind) {
        case "answering":
            return <span class="caret" aria-hidden="true" />;
        case "prefill":
            return (
                <p class="waiting-for">
                    <span>
                        {t("chat.phase.prefill", { done: phase.processed, total: phase.total })}
                    </span>
                    <progress
                        aria-label={t("chat.phase.prefill.label")}
                        value={phase.processed}
                        max={phase.total}
                    />
                </p>
            );
        case "queued":
            return (
                <p class="waiting-for">{t("chat.phase.queued", { position: phase.position })}</p>
            );
        default:
            return <p class="waiting-for">{t(`chat.phase.${phase.kind}`)}</p>;
    }
}

/** How an answer ended, and what can be done with it. */
function Ending({ conversation, message, place, isLast, isBusy }: AnswerProps) {
    const showsTokens = useSignal(false);
    const { outcome, text, reasoning, calls, logprobs } = message;
    const isCut =
        outcome?.kind === "interrupted" ||
        outcome?.kind === "failed" ||
        (outcome?.kind === "ended" && ["length", "abort"].includes(outcome.end.finish_reason));
    const warnings = outcome?.kind === "ended" ? (outcome.end.warnings ?? []) : [];
    return (
        <>
            {outcome?.kind === "failed" && (
                <p class="failure">
                    <Icon name="warning" />
                    <span>
                        {t(text || reasoning || calls ? "chat.broken" : "chat.failed")}{" "}
                        {errorWords(outcome.code)} <Detail text={outcome.message} />
                    </span>
                </p>
            )}
            {outcome?.kind === "interrupted" && (
                <p class="failure">
                    <Icon name="warning" />
                    <span>{t("chat.interrupted")}</span>
                </p>
            )}
            {!outcome && <p class="waiting-for">{t("chat.elsewhere")}</p>}
            {warnings.map((warning) => (
                <p key={warning} class="composer-notice">
                    <Icon name="info" />
                    <span>
                        {warningWords(warning)} <Detail text={warning} />
                    </span>
                </p>
            ))}
            <footer class="message-footer">
                <BranchSwitch conversation={conversation} place={place} />
                {text && (
                    <Button icon="copy" onClick={() => void copy(text)}>
                        {t("common.copy")}
                    </Button>
                )}
                {!isBusy && (
                    <Button
                        icon="retry"
                        onClick={() => mayAsk() && answers.retry(conversation, message)}
                    >
                        {t("chat.retry")}
                    </Button>
                )}
                {!isBusy && isLast && isCut && text && !calls && (
                    <Button
                        icon="right"
                        onClick={() => mayAsk() && answers.continue(conversation, message)}
                    >
                        {t("chat.continue")}
                    </Button>
                )}
                {logprobs && (
                    <Button
                        icon="dashboard"
                        aria-expanded={showsTokens.value}
                        onClick={() => (showsTokens.value = !showsTokens.value)}
                    >
                        {t("chat.probabilities")}
                    </Button>
                )}
                {outcome?.kind === "ended" && <StatsLine end={outcome.end} />}
            </footer>
            {logprobs && showsTokens.value && <Probabilities logprobs={logprobs} />}
        </>
    );
}
