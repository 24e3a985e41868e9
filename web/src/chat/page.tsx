/** The playground: conversations with the model. */

import { useEffect } from "preact/hooks";

import { t } from "../i18n";
import { lazy } from "../ui/lazy";
import { useShortcuts } from "../ui/shortcuts";
import "./chat.css";
import { Composer, focusComposer } from "./composer";
import { ConversationList, openConversation } from "./conversation-list";
import { Header } from "./header";
import { AddressDialog } from "./markdown/link";
import "./markdown/markdown.css";
import { Messages } from "./messages";
import { hasSpace, SidePanel } from "./side-panel";
import { answers, chatProblem, showsList, showsSettings, store } from "./state";

const SettingsPanel = lazy(() => import("./settings-panel").then((m) => m.SettingsPanel));

export function ChatPage() {
    const conversation = store.current.value;
    useChatShortcuts();
    useRawMode();
    return (
        <div class="chat">
            <SidePanel
                side="list"
                label={t("chat.conversations")}
                isOpen={hasSpace.list.value || showsList.value}
                onClose={() => (showsList.value = false)}
            >
                <ConversationList />
            </SidePanel>
            {conversation && (
                <div class="chat-main">
                    <Header conversation={conversation} />
                    <Messages conversation={conversation} />
                    <Composer conversation={conversation} />
                </div>
            )}
            {conversation && (
                <SidePanel
                    side="settings"
                    label={t("chat.settings")}
                    isOpen={showsSettings.value}
                    onClose={() => (showsSettings.value = false)}
                >
                    <SettingsPanel
                        key={conversation.id}
                        settings={conversation.settings}
                        onChange={(settings) =>
                            store.update(conversation.id, (before) => ({ ...before, settings }))
                        }
                    />
                </SidePanel>
            )}
            <AddressDialog />
        </div>
    );
}

function useChatShortcuts(): void {
    const stop = () => {
        if (store.currentId.value !== null) answers.stop(store.currentId.value);
    };
    useShortcuts([
        { keys: "/", label: "chat.shortcut.write", run: focusComposer },
        { keys: "Enter", label: "chat.shortcut.send" },
        { keys: "Ctrl+Enter", label: "chat.shortcut.send" },
        { keys: "Shift+Enter", label: "chat.shortcut.line" },
        { keys: "Escape", label: "chat.shortcut.stop", run: stop },
        { keys: "Alt+ArrowUp", label: "chat.shortcut.before", run: () => step(-1) },
        { keys: "Alt+ArrowDown", label: "chat.shortcut.after", run: () => step(1) },
        {
            keys: "Alt+s",
            label: "chat.shortcut.settings",
            run: () => (showsSettings.value = !showsSettings.value),
        },
    ]);
}

/** Opens the conversation before or after the one that is shown. */
function step(by: 1 | -1): void {
    const heads = store.heads.value;
    const at = heads.findIndex(({ id }) => id === store.currentId.value);
    const next = heads[at < 0 ? 0 : at + by];
    if (next) void openConversation(next.id);
}

/** A model without a chat template can only continue a text. */
function useRawMode(): void {
    const conversation = store.current.value;
    const mustChange = chatProblem.value !== null && conversation?.settings.mode === "chat";
    useEffect(() => {
        if (!mustChange || !conversation) return;
        store.update(conversation.id, (before) => ({
            ...before,
            settings: { ...before.settings, mode: "raw" },
        }));
    }, [mustChange, conversation?.id]);
}
