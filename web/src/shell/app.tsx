import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { createConversation, focusSearch } from "../chat/conversation-list";
import { ChatPage } from "../chat/page";
import { t } from "../i18n";
import { go, route, ROUTES } from "../router";
import { Announcements } from "../ui/announce";
import { IconButton } from "../ui/button";
import { Boundary } from "../ui/failure";
import { Icon } from "../ui/icon";
import { lazy } from "../ui/lazy";
import { onKey, useShortcuts } from "../ui/shortcuts";
import { Banner } from "./banner";
import { KeyDialog } from "./key-dialog";
import { ShortcutList } from "./shortcut-list";
import { Status } from "./status";

const DashboardPage = lazy(() => import("../dashboard/page").then((m) => m.DashboardPage));
const RequestsPage = lazy(() => import("../requests/page").then((m) => m.RequestsPage));
const SettingsPage = lazy(() => import("../settings/page").then((m) => m.SettingsPage));

/** The whole page: a header with what the server does, and the part that is chosen. */
export function App() {
    const showsShortcuts = useSignal(false);
    useEffect(() => {
        addEventListener("keydown", onKey);
        return () => removeEventListener("keydown", onKey);
    }, []);
    useShortcuts([
        { keys: "?", label: "shortcuts.show", run: () => (showsShortcuts.value = true) },
        { keys: "Alt+1", label: "shortcuts.go-chat", run: () => go("chat") },
        { keys: "Alt+2", label: "shortcuts.go-dashboard", run: () => go("dashboard") },
        { keys: "Alt+3", label: "shortcuts.go-requests", run: () => go("requests") },
        { keys: "Alt+4", label: "shortcuts.go-settings", run: () => go("settings") },
        { keys: "Alt+n", label: "chat.shortcut.new", run: () => inChat(createConversation) },
        { keys: "Ctrl+k", label: "chat.shortcut.search", run: () => inChat(focusSearch) },
    ]);
    return (
        <>
            <a class="skip" href="#content" onClick={skipToContent}>
                {t("nav.skip")}
            </a>
            <header class="header">
                <span class="brand">inference-core</span>
                <nav class="nav" aria-label={t("nav.label")}>
                    {ROUTES.map((name) => (
                        <a
                            key={name}
                            href={`#/${name}`}
                            aria-current={route.value === name ? "page" : undefined}
                        >
                            <Icon name={name} />
                            <span>{t(`nav.${name}`)}</span>
                        </a>
                    ))}
                </nav>
                <Status />
                <IconButton
                    icon="keyboard"
                    label={t("shortcuts.show")}
                    onClick={() => (showsShortcuts.value = true)}
                />
            </header>
            <Banner />
            <main id="content" class="content" tabIndex={-1}>
                <Boundary key={route.value}>
                    <Page />
                </Boundary>
            </main>
            <KeyDialog />
            {showsShortcuts.value && (
                <ShortcutList onClose={() => (showsShortcuts.value = false)} />
            )}
            <Announcements />
        </>
    );
}

function inChat(run: () => void): void {
    go("chat");
    run();
}

function Page() {
    switch (route.value) {
        case "chat":
            return <ChatPage />;
        case "dashboard":
            return <DashboardPage />;
        case "requests":
            return <RequestsPage />;
        case "settings":
            return <SettingsPage />;
    }
}

/** The link must not change the fragment, which names the part of the page. */
function skipToContent(event: Event) {
    event.preventDefault();
    document.getElementById("content")?.focus();
}
