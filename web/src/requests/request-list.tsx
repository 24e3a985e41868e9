import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { t } from "../i18n";
import { IconButton } from "../ui/button";
import { Field } from "../ui/field";
import { useMedia } from "../ui/media";
import { NOTHING, nextSorting, sorted, type Column, type Sorting } from "./columns";

interface ListProps<Row> {
    title: string;
    columns: Column<Row>[];
    rows: Row[];
    /** Marks a row: a state or an outcome, for its colour. */
    mark: (row: Row) => string;
    /** What can be done with a row. */
    action?: (row: Row) => ComponentChildren;
}

/** Requests as a table that can be sorted; on narrow screens as cards. */
export function RequestRows<Row extends { id: string }>(props: ListProps<Row>) {
    const sorting = useSignal<Sorting | null>(null);
    const isNarrow = useMedia("(max-width: 760px)");
    const list: SortedListProps<Row> = {
        ...props,
        rows: sorted(props.rows, props.columns, sorting.value),
        sorting: sorting.value,
        onSort: (next) => (sorting.value = next),
    };
    return isNarrow ? <Cards {...list} /> : <Table {...list} />;
}

interface SortedListProps<Row> extends ListProps<Row> {
    sorting: Sorting | null;
    onSort: (sorting: Sorting | null) => void;
}

function Table<Row extends { id: string }>({
    title,
    columns,
    rows,
    mark,
    action,
    sorting,
    onSort,
}: SortedListProps<Row>) {
    return (
        <div class="table-frame requests-frame" role="region" aria-label={title} tabIndex={0}>
            <table class="table requests-table">
                <thead>
                    <tr>
                        {columns.map(({ id, label, isNumber }) => (
                            <th
                                key={id}
                                scope="col"
                                class={isNumber ? "is-number" : undefined}
                                aria-sort={ariaSort(sorting, id)}
                            >
                                <button
                                    type="button"
                                    class="sort-button"
                                    onClick={() => onSort(nextSorting(sorting, id))}
                                >
                                    {t(label)}
                                    <span aria-hidden="true">{arrow(sorting, id)}</span>
                                </button>
                            </th>
                        ))}
                        {action && (
                            <th scope="col">
                                <span class="visually-hidden">{t("requests.action")}</span>
                            </th>
                        )}
                    </tr>
                </thead>
                <tbody>
                    {rows.map((row) => (
                        <tr key={row.id} data-mark={mark(row)}>
                            {columns.map(({ id, isNumber, text }, i) => (
                                <td
                                    key={id}
                                    class={isNumber ? "is-number" : undefined}
                                    title={
                                        id === "client" || id === "model" ? text(row) : undefined
                                    }
                                    dir={isNumber ? undefined : "auto"}
                                >
                                    {i === 0 && <span class="request-mark" aria-hidden="true" />}
                                    {text(row)}
                                </td>
                            ))}
                            {action && <td class="is-action">{action(row)}</td>}
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

function Cards<Row extends { id: string }>({
    title,
    columns,
    rows,
    mark,
    action,
    sorting,
    onSort,
}: SortedListProps<Row>) {
    const [first, second, ...others] = columns;
    if (!first || !second) return null;
    return (
        <>
            {rows.length > 1 && <SortChoice columns={columns} sorting={sorting} onSort={onSort} />}
            <ul class="request-cards" aria-label={title}>
                {rows.map((row) => (
                    <li key={row.id} class="request-card card" data-mark={mark(row)}>
                        <header>
                            <span class="request-mark" aria-hidden="true" />
                            <b>{first.text(row)}</b>
                            <span class="request-second" dir="auto">
                                {second.text(row) === NOTHING ? null : second.text(row)}
                            </span>
                            {action?.(row)}
                        </header>
                        <dl>
                            {others
                                .filter(({ text }) => text(row) !== NOTHING)
                                .map(({ id, label, text }) => (
                                    <div key={id}>
                                        <dt>{t(label)}</dt>
                                        <dd dir="auto">{text(row)}</dd>
                                    </div>
                                ))}
                        </dl>
                    </li>
                ))}
            </ul>
        </>
    );
}

/** Cards have no head to click: a choice says by what they are sorted. */
function SortChoice<Row>({
    columns,
    sorting,
    onSort,
}: Pick<SortedListProps<Row>, "columns" | "sorting" | "onSort">) {
    return (
        <div class="sort-choice">
            <Field label={t("requests.sort")}>
                {(attributes) => (
                    <select
                        {...attributes}
                        value={sorting?.column ?? ""}
                        onChange={({ currentTarget: { value } }) =>
                            onSort(value ? { column: value, isDescending: false } : null)
                        }
                    >
                        <option value="">{t("requests.sort.newest")}</option>
                        {columns.map(({ id, label }) => (
                            <option key={id} value={id}>
                                {t(label)}
                            </option>
                        ))}
                    </select>
                )}
            </Field>
            {sorting && (
                <IconButton
                    icon={sorting.isDescending ? "down" : "up"}
                    label={t(sorting.isDescending ? "requests.sort.up" : "requests.sort.down")}
                    onClick={() => onSort({ ...sorting, isDescending: !sorting.isDescending })}
                />
            )}
        </div>
    );
}

function ariaSort(sorting: Sorting | null, id: string): "ascending" | "descending" | "none" {
    if (sorting?.column !== id) return "none";
    return sorting.isDescending ? "descending" : "ascending";
}

function arrow(sorting: Sorting | null, id: string): string {
    if (sorting?.column !== id) return "";
    return sorting.isDescending ? " ↓" : " ↑";
}
