import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { clock, t } from "../i18n";
import { samples } from "../session";
import type { ChartSpec } from "./charts";
import { columns, thin } from "./history";

/** The values of a chart as a table, on demand. */
export function ChartTable({ spec }: { spec: ChartSpec }) {
    const isOpen = useSignal(false);
    return (
        <details
            class="as-table"
            onToggle={({ currentTarget }) => (isOpen.value = currentTarget.open)}
        >
            <summary>{t("chart.as-table")}</summary>
            {isOpen.value && <Rows spec={spec} />}
        </details>
    );
}

/** The rows stay as they were when the table was opened: nobody can read what moves. */
function Rows({ spec: { title, series, format } }: { spec: ChartSpec }) {
    const rows = useMemo(() => {
        const [times, ...values] = columns(
            samples.peek(),
            series.map(({ read }) => read),
        );
        const all = times.map((time, row) => ({ time, values: values.map((v) => v[row] ?? null) }));
        return thin(
            all.filter(({ values }) => values.some((value) => value !== null)),
            MAX_ROWS,
        ).reverse();
    }, []);
    return (
        <div class="table-frame" role="region" aria-label={title} tabIndex={0}>
            <table class="table">
                <thead>
                    <tr>
                        <th scope="col">{t("chart.time")}</th>
                        {series.map(({ label }) => (
                            <th key={label} scope="col" class="is-number">
                                {label}
                            </th>
                        ))}
                    </tr>
                </thead>
                <tbody>
                    {rows.map(({ time, values }) => (
                        <tr key={time}>
                            <th scope="row">{clock(time * 1000)}</th>
                            {values.map((value, i) => (
                                <td key={i} class="is-number">
                                    {value === null ? t("chart.none") : format(value)}
                                </td>
                            ))}
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

/** Most rows of a table. */
const MAX_ROWS = 60;
