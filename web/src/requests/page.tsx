import { t } from "../i18n";

export function RequestsPage() {
    return (
        <div class="page">
            <h1>{t("nav.requests")}</h1>
        </div>
    );
}
