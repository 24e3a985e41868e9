/** What is shown before the first message. */

import { t, type TextKey } from "../i18n";
import { hello } from "../session";
import { answers } from "./state";
import type { Conversation } from "./types";

export function Empty({ conversation }: { conversation: Conversation }) {
    const model = hello.value?.model;
    const isRaw = conversation.settings.mode === "raw";
    const examples = EXAMPLES[isRaw ? "raw" : model?.demo ? "demo" : "chat"];
    return (
        <div class="empty">
            <h2>{model ? t("chat.greeting", { model: model.name }) : t("chat.greeting.nobody")}</h2>
            {model?.demo && <p class="empty-demo">{t("chat.empty.demo")}</p>}
            <p>{t(isRaw ? "chat.empty.raw" : "chat.empty.chat")}</p>
            <ul class="starters" aria-label={t("chat.examples")}>
                {examples.map((key) => (
                    <li key={key}>
                        <button
                            type="button"
                            class="starter"
                            onClick={() => answers.send(conversation.id, t(key))}
                        >
                            {t(key)}
                        </button>
                    </li>
                ))}
            </ul>
            <p class="empty-hint">{t("chat.empty.local")}</p>
        </div>
    );
}

const EXAMPLES = {
    chat: ["chat.example.1", "chat.example.2", "chat.example.3"],
    demo: ["chat.demo-example.1", "chat.demo-example.2", "chat.demo-example.3"],
    raw: ["chat.raw-example.1", "chat.raw-example.2", "chat.raw-example.3"],
} as const satisfies Record<string, TextKey[]>;
