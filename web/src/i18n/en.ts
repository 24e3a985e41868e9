import { chatEn } from "../chat/en";
import { chatSettingsEn } from "../chat/settings-en";
import { dashboardEn } from "../dashboard/en";
import { requestsEn } from "../requests/en";
import { settingsEn } from "../settings/en";
import { shellEn } from "../shell/en";
import { wordsEn } from "../words/en";

export const en = {
    ...shellEn,
    ...chatEn,
    ...chatSettingsEn,
    ...dashboardEn,
    ...requestsEn,
    ...settingsEn,
    ...wordsEn,
};
