import { useSignal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";

import { clock, language, t } from "../i18n";
import { HISTORY_SECONDS, samples } from "../session";
import { colorScheme } from "../ui/color-scheme";
import { later } from "../ui/lazy";
import { second } from "../ui/second";
import { ChartTable } from "./chart-table";
import type { ChartSpec } from "./charts";
import { columns, nearest, type Columns } from "./history";
import { LegendEntry } from "./legend";
import { now } from "./now";
import type { Plot } from "./plot";

const loadPlot = later(() => import("./plot"));

/**
 * The last minutes of some values as a chart, redrawn once a second. The pointer or the arrow keys
 * choose a time, whose values the legend then shows. The same values are in a table.
 */
export function Chart({ spec }: { spec: ChartSpec }) {
    const titleId = useId();
    const host = useRef<HTMLDivElement>(null);
    const plot = useRef<Plot | null>(null);
    /** The chosen time in Unix seconds; `null` is the latest. */
    const chosen = useSignal<number | null>(null);

    void second.value;
    const end = now.value;
    const data = columns(
        samples.peek(),
        spec.series.map(({ read }) => read),
    );
    const [times] = data;
    const row = chosen.value === null ? times.length - 1 : nearest(times, chosen.value);

    const progress = useSignal<"loading" | "ready" | "failed">("loading");
    useEffect(() => {
        let isGone = false;
        const make = async () => {
            const { makePlot } = await loadPlot();
            if (isGone || !host.current) return;
            plot.current = makePlot(host.current, spec, (time) => (chosen.value = time));
            progress.value = "ready";
        };
        make().catch(() => (progress.value = "failed"));
        return () => {
            isGone = true;
            plot.current?.destroy();
            plot.current = null;
            progress.value = "loading";
        };
        // A plot is made anew where its colours, its numbers or its lines change.
    }, [spec.id, spec.series.length, colorScheme.value, language.value]);

    useEffect(() => {
        plot.current?.update(data, begin(times, end), end, spec.max);
    });

    const choose = (time: number | null) => {
        chosen.value = time;
        plot.current?.pin(time);
    };
    return (
        <figure class="chart" aria-labelledby={titleId}>
            <figcaption class="chart-header">
                <h3 id={titleId}>{spec.title}</h3>
                <span class="chart-time">
                    {chosen.value !== null && times[row] !== undefined && clock(times[row] * 1000)}
                </span>
                <ul class="chart-legend">
                    {spec.series.map((series, i) => (
                        <LegendEntry
                            key={series.label}
                            spec={spec}
                            index={i}
                            value={data[i + 1]?.[row] ?? null}
                        />
                    ))}
                </ul>
            </figcaption>
            <div
                ref={host}
                class="chart-plot"
                role="slider"
                tabIndex={0}
                aria-label={t("chart.time-of", { title: spec.title })}
                aria-orientation="horizontal"
                aria-valuemin={0}
                aria-valuemax={Math.max(0, times.length - 1)}
                aria-valuenow={Math.max(0, row)}
                aria-valuetext={valueText(spec, data, row)}
                onKeyDown={(event) => {
                    const to = rowAfter(event.key, row, times.length);
                    if (to === undefined) return;
                    event.preventDefault();
                    choose(to === null ? null : (times[to] ?? null));
                }}
                onFocus={() => {
                    if (host.current?.matches(":focus-visible"))
                        choose(times[times.length - 1] ?? null);
                }}
                onBlur={() => choose(null)}
            />
            {progress.value === "failed" && <p class="hint">{t("chart.failed")}</p>}
            <ChartTable spec={spec} />
        </figure>
    );
}

/** Where a chart begins: with the first sample, but it always shows a minute. */
function begin(times: number[], end: number): number {
    const first = Math.min(times[0] ?? end, end - MIN_SHOWN_SECONDS);
    return Math.max(first, end - HISTORY_SECONDS);
}

/** The row that a key goes to: `null` is none, `undefined` that the key has no meaning. */
function rowAfter(key: string, row: number, count: number): number | null | undefined {
    const within = (row: number) => Math.min(count - 1, Math.max(0, row));
    switch (key) {
        case "ArrowLeft":
        case "ArrowDown":
            return within(row - 1);
        case "ArrowRight":
        case "ArrowUp":
            return within(row + 1);
        case "PageUp":
            return within(row + PAGE_ROWS);
        case "PageDown":
            return within(row - PAGE_ROWS);
        case "Home":
            return 0;
        case "End":
            return count - 1;
        case "Escape":
            return null;
        default:
            return undefined;
    }
}

/** The values of a row in words. */
function valueText({ series, format }: ChartSpec, data: Columns, row: number): string {
    const time = data[0][row];
    if (time === undefined) return t("chart.none");
    const values = series.map(({ label }, i) => {
        const value = data[i + 1]?.[row] ?? null;
        return `${label}: ${value === null ? t("chart.none") : format(value)}`;
    });
    return `${clock(time * 1000)}. ${values.join(", ")}`;
}

const MIN_SHOWN_SECONDS = 60;

/** How many rows Page Up and Page Down go. */
const PAGE_ROWS = 60;
