import { useSignal } from "@preact/signals";

import { ApiError, remove } from "../api";
import { clock, t } from "../i18n";
import { connection, hello, rights } from "../session";
import "../styles/data.css";
import { announce } from "../ui/announce";
import { Button } from "../ui/button";
import { Detail } from "../ui/detail";
import { finishedColumns, runningColumns, type Column } from "./columns";
import { useRequestList, type ListProblem } from "./poll";
import { RequestRows } from "./request-list";
import "./requests.css";
import type { RunningRequest } from "./types";

/** The requests that run and wait, and those that ended last. */
export function RequestsPage() {
    const { state, refresh } = useRequestList();
    const { list, problem, at } = state.value;
    const isStale = list !== null && (problem !== null || connection.value.kind !== "open");
    return (
        <div class="page requests">
            <h1>{t("nav.requests")}</h1>
            {connection.value.kind === "open" && !seesAll() && (
                <p class="hint">{t("requests.own-only")}</p>
            )}
            <div role="status">
                {problem && <p class="hint">{problemWords(problem)}</p>}
                {problem && problem.kind !== "older" && <Detail text={problem.reason} />}
                {isStale && <p class="hint">{t("requests.stale", { time: clock(at) })}</p>}
            </div>
            {list && (
                <>
                    <h2>{t("requests.running", { n: list.running.length })}</h2>
                    {list.running.length === 0 ? (
                        <p class="hint">{t("requests.none-running")}</p>
                    ) : (
                        <RequestRows
                            title={t("requests.running", { n: list.running.length })}
                            columns={shownColumns(runningColumns, list.running)}
                            rows={list.running}
                            mark={({ state }) => state}
                            action={(request) => <Abort request={request} onEnd={refresh} />}
                        />
                    )}
                    <h2>{t("requests.finished", { n: list.finished.length })}</h2>
                    {list.finished.length === 0 ? (
                        <p class="hint">{t("requests.none-finished")}</p>
                    ) : (
                        <RequestRows
                            title={t("requests.finished", { n: list.finished.length })}
                            columns={shownColumns(finishedColumns, list.finished)}
                            rows={list.finished}
                            mark={({ finish_reason }) => finish_reason}
                        />
                    )}
                </>
            )}
        </div>
    );
}

/**
 * Leaves out what says nothing: the model where all rows have the one that the header of the page
 * names, and the key where no row has one.
 */
function shownColumns<Row extends Named>(columns: Column<Row>[], rows: Row[]): Column<Row>[] {
    const served = hello.value?.model.name;
    const hidden = new Set<string>();
    if (rows.every(({ model }) => model === served)) hidden.add("model");
    if (rows.every(({ key }) => key === null)) hidden.add("key");
    return columns.filter(({ id }) => !hidden.has(id));
}

/** The parts of a request that {@link shownColumns} looks at. */
type Named = Pick<RunningRequest, "model" | "key">;

/** The button that aborts a request, where the key allows that. */
function Abort({
    request: { id, can_abort },
    onEnd,
}: {
    request: RunningRequest;
    onEnd: () => void;
}) {
    const isSent = useSignal(false);
    if (!can_abort) return null;
    const abort = async () => {
        isSent.value = true;
        try {
            await remove(`requests/${encodeURIComponent(id)}`);
            announce(t("requests.aborted"));
        } catch (error) {
            isSent.value = false;
            announce(abortProblem(error), true);
        }
        onEnd();
    };
    return (
        <Button
            icon="stop"
            disabled={isSent.value}
            onClick={abort}
            aria-label={t("requests.abort-id", { id })}
        >
            {t("requests.abort")}
        </Button>
    );
}

function abortProblem(error: unknown): string {
    if (error instanceof ApiError && error.status === 404) return t("requests.abort-ended");
    const reason = error instanceof Error ? error.message : String(error);
    return t("requests.abort-failed", { reason });
}

/** Whether the key shows the requests of all clients. */
function seesAll(): boolean {
    return rights.value.includes("metrics") || rights.value.includes("admin");
}

function problemWords(problem: ListProblem): string {
    switch (problem.kind) {
        case "older":
            return t("requests.older");
        case "forbidden":
            return t("requests.forbidden");
        case "failed":
            return t("requests.failed");
    }
}
