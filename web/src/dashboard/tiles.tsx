import { t } from "../i18n";
import { duration } from "../i18n/units";
import { metrics, samples } from "../session";
import { figures, stepPhases } from "./figures";
import { StackedBar } from "./stacked-bar";

/** The figures of the latest metrics. */
export function Tiles() {
    const inference = metrics.value?.inference;
    if (!inference) return null;
    const phases = stepPhases(samples.value);
    return (
        <dl class="tiles">
            {figures(inference).map(({ label, value, note, share, isBad }) => (
                <div key={label} class={isBad ? "tile is-bad" : "tile"}>
                    <dt>{label}</dt>
                    <dd>
                        <span class="tile-value">{value}</span>
                        {share !== undefined && <Meter share={share} />}
                        {note && <span class="tile-note">{note}</span>}
                    </dd>
                </div>
            ))}
            {phases && phases.some(({ value }) => value > 0) && (
                <div class="tile tile-wide">
                    <dt>{t("figure.phases")}</dt>
                    <dd>
                        <StackedBar label={t("figure.phases")} parts={phases} format={duration} />
                    </dd>
                </div>
            )}
        </dl>
    );
}

/** A share as a bar. The text beside it says the same. */
export function Meter({ share }: { share: number }) {
    return (
        <span class="meter" aria-hidden="true">
            <span style={{ width: `${Math.min(1, Math.max(0, share)) * 100}%` }} />
        </span>
    );
}
