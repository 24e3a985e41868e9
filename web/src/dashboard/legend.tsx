import { t } from "../i18n";
import type { ChartSpec } from "./charts";
import { DASHES } from "./dashes";

/** A line of a chart with its value. The mark looks as the line does. */
export function LegendEntry({
    spec: { series, format, isStacked },
    index,
    value,
}: {
    spec: ChartSpec;
    index: number;
    value: number | null;
}) {
    const { label, color } = series[index]!;
    const stroke = `var(${color})`;
    return (
        <li>
            {series.length > 1 && (
                <>
                    <svg class="legend-mark" viewBox="0 0 20 10" aria-hidden="true">
                        {isStacked ? (
                            <rect width="20" height="10" rx="2" style={{ fill: stroke }} />
                        ) : (
                            <path
                                d="M0 5h20"
                                stroke-dasharray={DASHES[index % DASHES.length]?.join(" ")}
                                style={{ stroke }}
                            />
                        )}
                    </svg>
                    <span>{label}</span>
                </>
            )}
            <b>{value === null ? t("chart.none") : format(value)}</b>
        </li>
    );
}
