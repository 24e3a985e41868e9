/** The columns of the two lists: what they show, and how they sort. */

import { clock, number, type TextKey } from "../i18n";
import { duration } from "../i18n/units";
import type { FinishedRequest, RunningRequest } from "./types";
import { outcomeWords, stateWords, surfaceWords } from "./words";

export interface Column<Row> {
    id: string;
    label: TextKey;
    isNumber: boolean;
    text: (row: Row) => string;
    /** By what it sorts; `null` comes last. */
    order: (row: Row) => string | number | null;
}

/** How a list is sorted. */
export interface Sorting {
    column: string;
    isDescending: boolean;
}

/** Sorts a copy of `rows`. Rows that are equal keep their order, and those without a value are last. */
export function sorted<Row>(rows: Row[], columns: Column<Row>[], sorting: Sorting | null): Row[] {
    const column = columns.find(({ id }) => id === sorting?.column);
    if (!column || !sorting) return rows;
    const direction = sorting.isDescending ? -1 : 1;
    return [...rows].sort((a, b) => {
        const [x, y] = [column.order(a), column.order(b)];
        if (x === null || y === null) return Number(x === null) - Number(y === null);
        if (typeof x === "string" || typeof y === "string") {
            return direction * String(x).localeCompare(String(y), undefined, { numeric: true });
        }
        return direction * (x - y);
    });
}

/** The next sorting when somebody chooses `column`: ascending, descending, as the server sent it. */
export function nextSorting(sorting: Sorting | null, column: string): Sorting | null {
    if (sorting?.column !== column) return { column, isDescending: false };
    return sorting.isDescending ? null : { column, isDescending: true };
}

/** What stands where a request has no value. */
export const NOTHING = "–";

/** The columns of requests that run or wait. */
export const runningColumns: Column<RunningRequest>[] = [
    text("state", "requests.state", ({ state }) => stateWords(state)),
    text("key", "requests.key", ({ key }) => key ?? NOTHING),
    text("client", "requests.client", ({ client }) => client),
    text("surface", "requests.surface", ({ surface }) => surfaceWords(surface)),
    text("model", "requests.model", ({ model }) => model),
    figure("age", "requests.age", ({ age_ms }) => age_ms, duration),
    figure("queued", "requests.queued", ({ queued_ms }) => queued_ms, duration),
    figure("prompt", "requests.prompt", ({ prompt_tokens }) => prompt_tokens, whole),
    figure("cached", "requests.cached", ({ cached_tokens }) => cached_tokens, whole),
    figure("tokens", "requests.tokens", ({ completion_tokens }) => completion_tokens, whole),
];

/** The columns of requests that ended. */
export const finishedColumns: Column<FinishedRequest>[] = [
    figure(
        "ended",
        "requests.ended",
        ({ ended_at }) => ended_at,
        (at) => clock(at * 1000),
    ),
    text("outcome", "requests.outcome", outcomeWords),
    text("key", "requests.key", ({ key }) => key ?? NOTHING),
    text("client", "requests.client", ({ client }) => client),
    text("surface", "requests.surface", ({ surface }) => surfaceWords(surface)),
    text("model", "requests.model", ({ model }) => model),
    figure("queued", "requests.queued", ({ queued_ms }) => queued_ms, duration),
    figure("first-token", "requests.first-token", ({ ttft_ms }) => ttft_ms, duration),
    figure("duration", "requests.duration", ({ duration_ms }) => duration_ms, duration),
    figure("prompt", "requests.prompt", ({ prompt_tokens }) => prompt_tokens, whole),
    figure("cached", "requests.cached", ({ cached_tokens }) => cached_tokens, whole),
    figure("tokens", "requests.tokens", ({ completion_tokens }) => completion_tokens, whole),
    figure("speed", "requests.speed", ({ tokens_per_second }) => tokens_per_second, number),
];

function text<Row>(id: string, label: TextKey, read: (row: Row) => string): Column<Row> {
    return { id, label, isNumber: false, text: read, order: read };
}

function figure<Row>(
    id: string,
    label: TextKey,
    read: (row: Row) => number | null,
    format: (value: number) => string,
): Column<Row> {
    const write = (row: Row) => {
        const value = read(row);
        return value === null ? NOTHING : format(value);
    };
    return { id, label, isNumber: true, text: write, order: read };
}

function whole(value: number): string {
    return number(value, 0);
}
