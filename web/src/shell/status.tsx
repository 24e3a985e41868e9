import { number, t } from "../i18n";
import { hello, metrics, shownState } from "../session";

/** What the server does, in the header: its state, its model, its speed and the GPU's temperature. */
export function Status() {
    const state = shownState.value;
    const inference = metrics.value?.inference;
    const temperature = metrics.value?.gpu?.temp;
    const isLive = state === "idle" || state === "busy";
    return (
        <div class="status" data-state={state}>
            <span class="status-dot" aria-hidden="true" />
            <span class="status-state">{t(`state.${state}`)}</span>
            {hello.value && (
                <span class="status-model" title={hello.value.model.name}>
                    {hello.value.model.name}
                </span>
            )}
            {isLive && inference && inference.active > 0 && (
                <span class="status-figure">{number(inference.tps_now, 0)} tok/s</span>
            )}
            {isLive && typeof temperature === "number" && (
                <span class="status-figure">{number(temperature, 0)} °C</span>
            )}
        </div>
    );
}
