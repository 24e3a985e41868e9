/** The messages of the branch that is shown. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { t } from "../i18n";
import { IconButton } from "../ui/button";
import { Answer, LiveAnswer } from "./answer";
import { placeOf, type Place } from "./branch-switch";
import { Empty } from "./empty";
import { Question } from "./question";
import { answers } from "./state";
import { ToolResult } from "./tool-calls";
import { branch, children } from "./tree";
import type { Conversation } from "./types";

export function Messages({ conversation }: { conversation: Conversation }) {
    const { id, messages, leaf } = conversation;
    const running = answers.of(id);
    const runningId = running?.message.peek().id;
    const isRaw = conversation.settings.mode === "raw";
    const shown = useMemo(() => branch(conversation), [messages, leaf]);
    const places = usePlaces(conversation);
    return (
        <Scroller watched={`${id} ${leaf ?? ""}`} isRaw={isRaw}>
            {shown.length === 0 && <Empty conversation={conversation} />}
            {shown.map((message, index) => {
                const common = {
                    key: message.id,
                    conversation: id,
                    message,
                    place: places.get(message.id)!,
                    isBusy: running !== undefined,
                };
                if (running && message.id === runningId) {
                    return <LiveAnswer key={message.id} running={running} isRaw={isRaw} />;
                }
                switch (message.role) {
                    case "user":
                        return <Question {...common} />;
                    case "tool":
                        return <ToolResult key={message.id} message={message} />;
                    case "assistant":
                        return (
                            <Answer {...common} isLast={index === shown.length - 1} isRaw={isRaw} />
                        );
                }
            })}
            <Completion
                isRunning={running !== undefined}
                id={id}
                hasFailed={shown.at(-1)?.outcome?.kind !== "ended"}
            />
        </Scroller>
    );
}

/** Where each message is among those beside it; the same objects while that does not change. */
function usePlaces(conversation: Conversation): Map<string, Place> {
    const kept = useRef(new Map<string, Place>());
    return useMemo(() => {
        const places = new Map<string, Place>();
        for (const beside of children(conversation).values()) {
            for (const id of beside) {
                const place = placeOf(id, beside);
                const before = kept.current.get(id);
                const isSame = before?.count === place.count && before.position === place.position;
                places.set(id, isSame ? before : place);
            }
        }
        kept.current = places;
        return places;
        // The tree has changed only if there are more messages.
    }, [conversation.id, Object.keys(conversation.messages).length]);
}

/** Tells screen readers that an answer has ended. They do not read it while it comes. */
function Completion({
    isRunning,
    id,
    hasFailed,
}: {
    isRunning: boolean;
    id: string;
    hasFailed: boolean;
}) {
    const text = useSignal("");
    const before = useRef({ isRunning, id });
    useEffect(() => {
        const hasEnded = before.current.id === id && before.current.isRunning && !isRunning;
        text.value = hasEnded ? t(hasFailed ? "chat.answer.failed" : "chat.answer.ended") : "";
        before.current = { isRunning, id };
    }, [isRunning, id]);
    return (
        <p class="visually-hidden" role="status">
            {text.value}
        </p>
    );
}

/** Scrolls with what comes, unless the user has scrolled up. */
function Scroller({
    watched,
    isRaw,
    children,
}: {
    /** The end is shown when this changes. */
    watched: string;
    isRaw: boolean;
    children: ComponentChildren;
}) {
    const view = useRef<HTMLDivElement>(null);
    const content = useRef<HTMLDivElement>(null);
    const isAtEnd = useSignal(true);
    const lastTop = useRef(0);
    const toEnd = () => {
        if (view.current) view.current.scrollTop = view.current.scrollHeight;
    };
    useLayoutEffect(() => {
        isAtEnd.value = true;
        toEnd();
    }, [watched]);
    useEffect(() => {
        if (!content.current || !view.current) return;
        const observer = new ResizeObserver(() => {
            if (isAtEnd.peek()) toEnd();
        });
        observer.observe(content.current);
        observer.observe(view.current);
        return () => observer.disconnect();
    }, []);
    const onScroll = ({ currentTarget }: { currentTarget: HTMLElement }) => {
        const { scrollHeight, scrollTop, clientHeight } = currentTarget;
        // The event comes later than the scrolling, and there may be more text by then.
        const isUp = scrollTop < lastTop.current;
        lastTop.current = scrollTop;
        if (scrollHeight - scrollTop - clientHeight < AT_END) isAtEnd.value = true;
        else if (isUp) isAtEnd.value = false;
    };
    return (
        <div class="scroller">
            <div
                ref={view}
                class="messages"
                tabIndex={0}
                role="region"
                aria-label={t("chat.messages")}
                onScroll={onScroll}
            >
                <div ref={content} class={isRaw ? "messages-content is-raw" : "messages-content"}>
                    {children}
                </div>
            </div>
            {!isAtEnd.value && (
                <div class="to-end">
                    <IconButton
                        icon="down"
                        label={t("chat.to-end")}
                        onClick={() => {
                            isAtEnd.value = true;
                            toEnd();
                        }}
                    />
                </div>
            )}
        </div>
    );
}

/** Pixels from the end that still count as the end. */
const AT_END = 48;
