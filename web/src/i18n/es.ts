import { chatEs } from "../chat/es";
import { dashboardEs } from "../dashboard/es";
import { requestsEs } from "../requests/es";
import { settingsEs } from "../settings/es";
import { shellEs } from "../shell/es";

export const es = { ...shellEs, ...chatEs, ...dashboardEs, ...requestsEs, ...settingsEs };
