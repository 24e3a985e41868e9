/** Which charts the dashboard shows. */

import { number, t } from "../i18n";
import { bytes, duration } from "../i18n/units";
import type { Gpu, Metrics } from "../protocol";
import { MB } from "./gpu";
import type { Reader } from "./history";

/** The colours of the lines, as CSS variables. */
export type SeriesColor = "--series-1" | "--series-2" | "--series-3" | "--series-4" | "--series-5";

export interface Series {
    label: string;
    color: SeriesColor;
    read: Reader;
}

export interface ChartSpec {
    /** Names the chart among the others. */
    id: string;
    title: string;
    series: Series[];
    /** Whether the values are parts of a whole, drawn above each other. */
    isStacked: boolean;
    format: (value: number) => string;
    /** The upper end of the axis, where it does not depend on the values. */
    max: number | null;
    /** Possible distances between the lines of the grid. */
    steps: number[];
}

/** The charts for what the latest metrics have values for. */
export function chartSpecs(latest: Metrics): ChartSpec[] {
    return [...serverCharts(latest), ...gpuCharts(latest.gpus)];
}

function serverCharts({ inference }: Metrics): ChartSpec[] {
    return [
        chart("speed", t("chart.speed"), perSecond, [
            line(t("chart.speed"), 0, ({ inference }) => inference.tps_now),
        ]),
        chart("first-token", t("chart.first-token"), duration, [
            line(t("chart.first-token"), 1, ({ inference }) => inference.last_ttft_ms || null),
        ]),
        chart("requests", t("chart.requests"), whole, [
            line(t("chart.active"), 0, ({ inference }) => inference.active),
            line(t("chart.queued"), 2, ({ inference }) => inference.queued),
        ]),
        {
            ...chart("kv", t("chart.kv"), whole, [
                line(t("chart.kv"), 3, ({ inference }) => inference.kv_used_tokens),
            ]),
            max: inference.kv_total_tokens || null,
        },
    ];
}

function gpuCharts(gpus: Gpu[]): ChartSpec[] {
    const perGpu = (id: string, title: string, format: ChartSpec["format"], field: GpuField) => {
        const isKnown = gpus.some((gpu) => gpu[field] !== null);
        const series = gpus.map((gpu, i) =>
            line(
                gpuLabel(gpu, gpus),
                i,
                ofGpu(gpu, (gpu) => gpu[field]),
            ),
        );
        return isKnown ? [chart(id, title, format, series)] : [];
    };
    return [
        ...perGpu("temperature", t("chart.temperature"), celsius, "temp"),
        ...perGpu("utilization", t("chart.utilization"), percentage, "utilization_percent").map(
            (spec) => ({ ...spec, max: 100 }),
        ),
        ...perGpu("power", t("chart.power"), watts, "power_watts"),
        ...gpus.filter((gpu) => gpu.vram_total_mb !== null).map((gpu) => vramChart(gpu, gpus)),
    ];
}

function vramChart(gpu: Gpu, gpus: Gpu[]): ChartSpec {
    const process = ofGpu(gpu, (gpu) => scaled(gpu.process_vram_mb, MB));
    const others = ofGpu(gpu, (gpu) =>
        gpu.vram_used_mb === null
            ? null
            : Math.max(0, gpu.vram_used_mb - (gpu.process_vram_mb ?? 0)) * MB,
    );
    const title =
        gpus.length > 1 ? t("chart.vram-of", { gpu: gpuLabel(gpu, gpus) }) : t("chart.vram");
    return {
        ...chart(`vram-${gpu.index}`, title, bytes, [
            line(t("gpu.vram.process"), 0, process),
            line(t("gpu.vram.others"), 2, others),
        ]),
        isStacked: true,
        steps: BINARY_STEPS,
        max: scaled(gpu.vram_total_mb, MB),
    };
}

/** The name of a GPU in a list of all: its index, if there are several. */
export function gpuLabel(gpu: Gpu, gpus: Gpu[]): string {
    return gpus.length > 1 ? t("gpu.index", { index: String(gpu.index) }) : gpu.name;
}

type GpuField = "temp" | "utilization_percent" | "power_watts";

/** Reads a value of `gpu`, wherever it stands in the list of a sample. */
function ofGpu({ uuid, index }: Gpu, read: (gpu: Gpu) => number | null): Reader {
    return ({ gpus }) => {
        const gpu = gpus.find((other) => other.uuid === uuid && other.index === index);
        return gpu ? read(gpu) : null;
    };
}

function chart(
    id: string,
    title: string,
    format: ChartSpec["format"],
    series: Series[],
): ChartSpec {
    return { id, title, format, series, isStacked: false, max: null, steps: DECIMAL_STEPS };
}

function line(label: string, color: number, read: Reader): Series {
    return { label, color: COLORS[color % COLORS.length] as SeriesColor, read };
}

function scaled(value: number | null, factor: number): number | null {
    return value === null ? null : value * factor;
}

const whole = (value: number) => number(value, 0);
const perSecond = (value: number) => `${number(value, value < 10 ? 1 : 0)} ${t("unit.per-second")}`;
const celsius = (value: number) => `${number(value, 0)} °C`;
const watts = (value: number) => `${number(value, 0)} W`;
const percentage = (value: number) => `${number(value, 0)} %`;

const COLORS: SeriesColor[] = [
    "--series-1",
    "--series-2",
    "--series-3",
    "--series-4",
    "--series-5",
];

/** 1, 2, 5, 10, 20, 50 …: no fractions, of which the axis would show none. */
const DECIMAL_STEPS = Array.from(
    { length: 30 },
    (_, i) => [1, 2, 5][i % 3]! * 10 ** Math.floor(i / 3),
);

/** From 1 MiB to 512 GiB. */
const BINARY_STEPS = Array.from({ length: 20 }, (_, i) => MB * 2 ** i);
