import { number, t } from "../i18n";
import { bytes } from "../i18n/units";
import type { Gpu } from "../protocol";
import { Icon } from "../ui/icon";
import { MB, throttleWords, vramParts } from "./gpu";
import { StackedBar } from "./stacked-bar";
import { Meter } from "./tiles";

/** One GPU: its values, its VRAM, and whether something slows it down. */
export function GpuCard({ gpu, reserve }: { gpu: Gpu; reserve: number }) {
    const parts = vramParts(gpu, reserve);
    const titleId = `gpu-${gpu.index}`;
    return (
        <article
            class={gpu.throttling ? "gpu card is-throttled" : "gpu card"}
            aria-labelledby={titleId}
        >
            <header class="gpu-header">
                <h3 id={titleId}>{gpu.name}</h3>
                <span class="gpu-index" title={gpu.uuid}>
                    {t("gpu.index", { index: String(gpu.index) })}
                </span>
            </header>
            {!gpu.present && <GpuNote text={t("gpu.absent")} isBad />}
            {gpu.present && !gpu.in_use && <GpuNote text={t("gpu.not-in-use")} />}
            {gpu.throttling && (
                <GpuNote
                    isBad
                    text={t("gpu.throttling", {
                        reasons: throttleWords(gpu.throttle_reasons).join(", "),
                    })}
                />
            )}
            <dl class="gpu-values">
                <Value label={t("gpu.temperature")} value={gpu.temp} unit="°C" />
                <Value
                    label={t("gpu.utilization")}
                    value={gpu.utilization_percent}
                    unit="%"
                    isShare
                />
                <Value label={t("gpu.power")} value={gpu.power_watts} unit="W" />
                <Value label={t("gpu.fan")} value={gpu.fan_percent} unit="%" isShare />
            </dl>
            {parts && (
                <>
                    <h4>
                        {t("gpu.vram")}
                        <span class="plan-used">
                            {t("gpu.vram.used", {
                                used: bytes((gpu.vram_used_mb ?? 0) * MB),
                                total: bytes((gpu.vram_total_mb ?? 0) * MB),
                            })}
                        </span>
                    </h4>
                    <StackedBar label={t("gpu.vram")} parts={parts} format={bytes} />
                </>
            )}
        </article>
    );
}

function GpuNote({ text, isBad }: { text: string; isBad?: boolean }) {
    return (
        <p class={isBad ? "gpu-note is-bad" : "gpu-note"}>
            <Icon name={isBad ? "warning" : "info"} />
            <span>{text}</span>
        </p>
    );
}

/** A value that the GPU reports; nothing if it does not. */
function Value({
    label,
    value,
    unit,
    isShare,
}: {
    label: string;
    value: number | null;
    unit: string;
    isShare?: boolean;
}) {
    if (value === null) return null;
    return (
        <div>
            <dt>{label}</dt>
            <dd>
                <b>{number(value, 0)}</b> {unit}
                {isShare && <Meter share={value / 100} />}
            </dd>
        </div>
    );
}
