/** The conversations and answers of this page, and the parts that are open. */

import { computed, signal } from "@preact/signals";

import { t } from "../i18n";
import { client, connection, hello } from "../session";
import { local, stored, tab } from "../storage";
import { announce } from "../ui/announce";
import { Answers } from "./answers";
import { openDatabase } from "./database";
import { settingsFault } from "./panel/faults";
import { Rescue } from "./rescue";
import { Store } from "./store";

export const store = new Store(
    new BroadcastChannel("inference-core.chat"),
    stored<string | null>("conversation", null, tab),
    new Rescue(local),
);

export const answers = new Answers(client, connection, store);

void openDatabase().then((database) => store.start(database));

/** Whether the settings of the conversation are shown. */
export const showsSettings = stored("chat-settings-open", false);

/** Whether the list of conversations is shown, on screens without space for it. */
export const showsList = signal(false);

/**
 * Whether an answer may be asked for: not while a field of the settings is wrong, because what it
 * shows is not what would be sent. Says so if not.
 */
export function mayAsk(): boolean {
    const fault = settingsFault.value;
    if (fault) announce(t("chat.refused", { ...fault }), true);
    return fault === null;
}

/** Why the model cannot chat; `null` if it can. */
export const chatProblem = computed(() => {
    const model = hello.value?.model;
    return model && !model.chat ? (model.chat_problem ?? "") : null;
});

// A page that is hidden may be ended without a word.
document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "hidden") return;
    answers.keepAll();
    void store.flush();
});

addEventListener("pagehide", () => {
    answers.keepAll();
    store.keepUnsaved();
});

addEventListener("pageshow", ({ persisted }) => {
    if (persisted) void store.recover();
});
