import { t } from "../i18n";

export function DashboardPage() {
    return (
        <div class="page">
            <h1>{t("nav.dashboard")}</h1>
        </div>
    );
}
