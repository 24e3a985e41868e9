import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { t } from "../i18n";
import { client, connection, metrics, shownState } from "../session";
import { Button } from "../ui/button";
import { Icon } from "../ui/icon";
import { causeWords, lostWords } from "../words";
import { showsKeyDialog } from "./key-dialog";

/** Says below the header what keeps the server from answering, and what happens about it. */
export function Banner() {
    return <div role="alert">{text() && <Content />}</div>;
}

function Content() {
    const { kind } = connection.value;
    const isLost = kind === "lost";
    return (
        <div class={isLost || shownState.value === "stalled" ? "banner is-bad" : "banner"}>
            <Icon name="warning" />
            <p>{isLost ? <Countdown /> : text()}</p>
            {isLost && <Button onClick={() => client.reconnect()}>{t("banner.retry")}</Button>}
            {kind === "key-needed" && (
                <Button onClick={() => (showsKeyDialog.value = true)}>{t("key.enter")}</Button>
            )}
        </div>
    );
}

function text(): string | null {
    const state = shownState.value;
    switch (state) {
        case "lost":
            return "lost";
        case "key-needed":
        case "loading":
        case "stalled":
        case "draining":
            return t(`banner.${state}`);
        case "restarting":
            return t("banner.restarting", {
                cause: causeWords(metrics.value?.inference.cause ?? t("common.unknown")),
            });
        default:
            return null;
    }
}

/** The seconds until the next attempt are hidden from screen readers, which would read each. */
function Countdown() {
    const now = useSignal(Date.now());
    useEffect(() => {
        const timer = setInterval(() => (now.value = Date.now()), 500);
        return () => clearInterval(timer);
    }, []);
    const state = connection.value;
    if (state.kind !== "lost") return null;
    const seconds = Math.max(0, Math.ceil((state.retryAt - now.value) / 1000));
    return (
        <span title={state.reason}>
            {t("banner.lost")} {lostWords(state)} {t("banner.next", { seconds })}
        </span>
    );
}
