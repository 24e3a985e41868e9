import { chatEs } from "../chat/es";
import { chatSettingsEs } from "../chat/settings-es";
import { dashboardEs } from "../dashboard/es";
import { requestsEs } from "../requests/es";
import { settingsEs } from "../settings/es";
import { shellEs } from "../shell/es";
import { wordsEs } from "../words/es";

export const es = {
    ...shellEs,
    ...chatEs,
    ...chatSettingsEs,
    ...dashboardEs,
    ...requestsEs,
    ...settingsEs,
    ...wordsEs,
};
