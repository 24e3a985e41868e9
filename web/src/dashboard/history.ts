/** The samples of the last minutes as columns for charts and tables. */

import type { Metrics } from "../protocol";

/** Reads one value of a sample; `null` where there is none. */
export type Reader = (sample: Metrics) => number | null;

/** The times in Unix seconds, and one column for each reader. */
export type Columns = [number[], ...(number | null)[][]];

/**
 * The columns of `samples`. Where the connection was lost for a while, a row without values
 * separates what was before from what came after.
 */
export function columns(samples: Metrics[], readers: Reader[]): Columns {
    const times: number[] = [];
    const values: (number | null)[][] = readers.map(() => []);
    const longest = longestInterval(samples);
    samples.forEach((sample, index) => {
        const before = samples[index - 1];
        if (before && sample.timestamp - before.timestamp > longest) {
            times.push((before.timestamp + sample.timestamp) / 2);
            for (const column of values) column.push(null);
        }
        times.push(sample.timestamp);
        readers.forEach((read, i) => values[i]?.push(read(sample)));
    });
    return [times, ...values];
}

/** The longest time in seconds between two samples of a connection that was not lost. */
export function longestInterval(samples: Metrics[]): number {
    const recent = samples.slice(-INTERVAL_SAMPLES);
    const intervals = recent
        .slice(1)
        .map((sample, i) => sample.timestamp - (recent[i]?.timestamp ?? 0))
        .sort((a, b) => a - b);
    const median = intervals[Math.floor(intervals.length / 2)] ?? 0;
    return Math.max(MIN_GAP_SECONDS, 3 * median);
}

/** At most `max` of `rows` at even distances, the first and the last among them. */
export function thin<T>(rows: T[], max: number): T[] {
    if (rows.length <= max) return rows;
    const step = (rows.length - 1) / (max - 1);
    return Array.from({ length: max }, (_, i) => rows[Math.round(i * step)] as T);
}

/** The index of the time in `times` (ascending) that is nearest to `time`; -1 if there is none. */
export function nearest(times: number[], time: number): number {
    let low = 0;
    let high = times.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if ((times[middle] as number) < time) low = middle + 1;
        else high = middle;
    }
    const before = times[low - 1];
    const after = times[low];
    if (before === undefined) return after === undefined ? -1 : 0;
    return after === undefined || time - before <= after - time ? low - 1 : low;
}

/** A pause of fewer seconds is none: frames may come late. */
const MIN_GAP_SECONDS = 3;

/** How many of the latest samples say what the usual interval is. */
const INTERVAL_SAMPLES = 60;
