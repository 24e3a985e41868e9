/** The title of the conversation that is shown, and what can be done with it. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { t } from "../i18n";
import { IconButton } from "../ui/button";
import { createConversation, loadExchange, removeConversation } from "./conversation-list";
import { download, fileName } from "./download";
import { Menu, type Action } from "./menu";
import { hasSpace } from "./side-panel";
import { showsList, showsSettings, store } from "./state";
import type { Conversation } from "./types";

export function Header({ conversation }: { conversation: Conversation }) {
    const isRenamed = useSignal(false);
    const name = conversation.title || t("chat.untitled");
    const isEmpty = conversation.leaf === null;
    const actions: Action[] = [
        { icon: "edit", label: t("chat.rename"), run: () => (isRenamed.value = true) },
        {
            icon: "download",
            label: t("chat.export.markdown"),
            run: () => void exportMarkdown(conversation),
        },
        {
            icon: "download",
            label: t("chat.export.json"),
            run: () => void exportJson(conversation),
        },
        { icon: "print", label: t("chat.print"), run: () => print() },
        { icon: "trash", label: t("chat.delete"), run: () => removeConversation(conversation.id) },
    ];
    return (
        <header class="chat-header">
            {!hasSpace.list.value && (
                <IconButton
                    icon="menu"
                    label={t("chat.list.show")}
                    onClick={() => (showsList.value = true)}
                />
            )}
            {isRenamed.value ? (
                <TitleField conversation={conversation} onEnd={() => (isRenamed.value = false)} />
            ) : (
                <h1 class="chat-title" dir="auto" title={name}>
                    {name}
                </h1>
            )}
            {!hasSpace.list.value && (
                <IconButton icon="plus" label={t("chat.new")} onClick={createConversation} />
            )}
            <IconButton
                icon="sliders"
                label={t("chat.settings.show")}
                aria-expanded={showsSettings.value}
                onClick={() => (showsSettings.value = !showsSettings.value)}
            />
            {!isEmpty && <Menu label={t("chat.actions")} actions={actions} />}
        </header>
    );
}

function TitleField({ conversation, onEnd }: { conversation: Conversation; onEnd: () => void }) {
    const field = useRef<HTMLInputElement>(null);
    useEffect(() => field.current?.select(), []);
    const keep = (title: string) => {
        if (title.trim()) void store.rename(conversation.id, title.trim());
        onEnd();
    };
    return (
        <input
            ref={field}
            class="chat-title"
            dir="auto"
            maxLength={MAX_LENGTH}
            aria-label={t("chat.rename.label")}
            defaultValue={conversation.title}
            onBlur={(event) => keep(event.currentTarget.value)}
            onKeyDown={(event) => {
                if (event.key === "Enter") keep(event.currentTarget.value);
                else if (event.key === "Escape") onEnd();
            }}
        />
    );
}

async function exportMarkdown(conversation: Conversation): Promise<void> {
    const { toMarkdown } = await loadExchange();
    download(fileName(conversation.title, "md"), "text/markdown", toMarkdown(conversation));
}

async function exportJson(conversation: Conversation): Promise<void> {
    const { toJson } = await loadExchange();
    download(fileName(conversation.title, "json"), "application/json", toJson([conversation]));
}

/** Characters of a title that somebody types. */
const MAX_LENGTH = 200;
