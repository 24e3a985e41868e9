import { computed, effect } from "@preact/signals";
import { render } from "preact";

import { language } from "./i18n";
import { connection } from "./session";
import { App } from "./shell/app";
import "./styles/base.css";
import "./styles/ui.css";
import "./styles/shell.css";
import { applyTheme } from "./theme";
import { loadAll } from "./ui/lazy";

applyTheme();
effect(() => {
    document.documentElement.lang = language.value;
});
/** Parts may be missing as long as there was no connection. */
const canLoad = computed(() => ["open", "key-needed"].includes(connection.value.kind));

effect(() => {
    if (canLoad.value) loadAll();
});
render(<App />, document.getElementById("app")!);
