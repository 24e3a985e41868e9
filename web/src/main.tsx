import { effect } from "@preact/signals";
import { render } from "preact";

import { language } from "./i18n";
import { App } from "./shell/app";
import "./styles/base.css";
import "./styles/ui.css";
import "./styles/shell.css";
import { applyTheme } from "./theme";

applyTheme();
effect(() => {
    document.documentElement.lang = language.value;
});
render(<App />, document.getElementById("app")!);
