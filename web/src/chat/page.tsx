import { t } from "../i18n";

export function ChatPage() {
    return (
        <div class="page">
            <h1>{t("nav.chat")}</h1>
        </div>
    );
}
