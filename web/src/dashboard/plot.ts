/** Draws a chart with uPlot. This module is loaded when the first chart is shown. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { clock } from "../i18n";
import type { ChartSpec } from "./charts";
import { DASHES } from "./dashes";
import type { Columns } from "./history";

export interface Plot {
    /**
     * Shows `columns` in the times from `from` to `to`, in Unix seconds. The axis ends at `max`, or
     * above the largest value.
     */
    update(columns: Columns, from: number, to: number, max: number | null): void;
    /** Keeps the cursor at a time whatever the pointer does; `null` hides it, and ends that. */
    pin(time: number | null): void;
    /** Frees all that the plot uses. */
    destroy(): void;
}

/** Draws into `host`. `onHover` is called with the time below the pointer. */
export function makePlot(
    host: HTMLElement,
    spec: ChartSpec,
    onHover: (time: number | null) => void,
): Plot {
    let pinned: number | null = null;
    const hover = (time: number | null) => {
        if (pinned === null) onHover(time);
    };
    const plot = new uPlot(options(host, spec, hover), [[]], host);
    const moveCursor = () => {
        const left = pinned === null ? OUTSIDE : plot.valToPos(pinned, "x");
        plot.setCursor({ left, top: pinned === null ? OUTSIDE : 0 });
    };
    const resizing = new ResizeObserver(() => {
        if (host.clientWidth > 0) plot.setSize({ width: host.clientWidth, height: HEIGHT });
    });
    resizing.observe(host);
    return {
        update(columns, from, to, max) {
            const data = drawn(columns, spec);
            plot.batch(() => {
                plot.setData(data, false);
                plot.setScale("x", { min: from, max: to });
                plot.setScale("y", { min: 0, max: max ?? top(data) });
            });
            if (pinned !== null) moveCursor();
        },
        pin(time) {
            pinned = time;
            moveCursor();
        },
        destroy() {
            resizing.disconnect();
            plot.destroy();
        },
    };
}

/** Stacked series are drawn as sums, the largest first, so that the smaller ones lie over it. */
function drawn(columns: Columns, { isStacked }: ChartSpec): uPlot.AlignedData {
    if (!isStacked) return columns;
    const [times, ...values] = columns;
    const sums = values.map((_, i) =>
        times.map((_, row) => {
            const parts = values.slice(0, i + 1).map((column) => column[row] ?? null);
            return parts.every((part) => part === null)
                ? null
                : parts.reduce<number>((sum, part) => sum + (part ?? 0), 0);
        }),
    );
    return [times, ...sums.reverse()];
}

/** The end of an axis that starts at zero: somewhat more than the largest value. */
function top([, ...columns]: uPlot.AlignedData): number {
    const largest = columns.reduce(
        (max, column) => Math.max(max, ...Array.from(column, (value) => value ?? 0)),
        0,
    );
    return largest > 0 ? largest * 1.15 : 1;
}

function options(
    host: HTMLElement,
    spec: ChartSpec,
    onHover: (time: number | null) => void,
): uPlot.Options {
    const color = colorsOf(host);
    const text = color("var(--muted)");
    const grid = { stroke: color("var(--border)"), width: 1 };
    const series = spec.isStacked ? [...spec.series].reverse() : spec.series;
    const isAlone = series.length === 1;
    return {
        width: Math.max(host.clientWidth, 1),
        height: HEIGHT,
        padding: [8, 4, 0, 0],
        legend: { show: false },
        cursor: {
            y: false,
            sync: { key: "dashboard" },
            drag: { setScale: false, x: false, y: false },
            points: { size: 7 },
        },
        scales: { x: { time: true, auto: false }, y: { auto: false } },
        axes: [
            {
                stroke: text,
                font: FONT,
                grid: { show: false },
                ticks: { ...grid, size: 4 },
                size: 26,
                space: 96,
                values: ({ scales: { x } }, times) =>
                    times.map((time) => (isAtEnd(time, x) ? "" : timeText(time, times))),
            },
            {
                stroke: text,
                font: FONT,
                grid,
                ticks: { show: false },
                gap: 4,
                space: 34,
                incrs: spec.steps,
                size: (_, labels) => axisWidth(labels ?? []),
                values: (_, values) => values.map(spec.format),
            },
        ],
        series: [
            {},
            ...series.map((one, i) => ({
                stroke: color(`var(${one.color})`),
                width: 1.75,
                dash: spec.isStacked ? [] : (DASHES[i % DASHES.length] as number[]),
                points: { show: false },
                ...(spec.isStacked || isAlone ? { fill: color(paler(one.color, spec)) } : {}),
            })),
        ],
        hooks: {
            setCursor: [
                ({ cursor: { idx, left }, data: [times] }) =>
                    onHover(idx == null || (left ?? -1) < 0 ? null : (times[idx] ?? null)),
            ],
        },
    };
}

/** The text of `time` on an axis with these times: with seconds, where they are close. */
function timeText(time: number, times: number[]): string {
    const isClose = (times[1] ?? Infinity) - (times[0] ?? 0) < 60;
    return clock(time * 1000, isClose);
}

/** Whether there is no space for the text of `time` on its axis. */
function isAtEnd(time: number, scale: uPlot.Scale | undefined): boolean {
    const { min = 0, max = 0 } = scale ?? {};
    return max - time < (max - min) * END_SHARE;
}

/** The width of an axis in pixels. */
function axisWidth(labels: string[]): number {
    const longest = labels.reduce((max, { length }) => Math.max(max, length), 0);
    return Math.max(MIN_AXIS_WIDTH, 10 + longest * CHARACTER_WIDTH);
}

/** Resolves colours of the page for the canvas, which knows no variables. */
function colorsOf(host: HTMLElement): (color: string) => string {
    return (color) => {
        const probe = document.createElement("span");
        probe.style.color = color;
        host.append(probe);
        const resolved = getComputedStyle(probe).color;
        probe.remove();
        return resolved;
    };
}

/** The colour of the area below a line. It is opaque: sums lie over each other. */
function paler(color: string, { isStacked }: ChartSpec): string {
    return `color-mix(in srgb, var(${color}) ${isStacked ? 45 : 14}%, var(--surface))`;
}

/** A place for the cursor where it is not seen. */
const OUTSIDE = -10;

/** The last part of the axis of times, where a text would be cut off. */
const END_SHARE = 0.09;

const MIN_AXIS_WIDTH = 36;
/** About the width of a character of {@link FONT}. */
const CHARACTER_WIDTH = 6.6;

/** The height of a chart in pixels. */
const HEIGHT = 170;

const FONT = "12px system-ui, sans-serif";
