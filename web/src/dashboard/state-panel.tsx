import { clock, t } from "../i18n";
import { duration, percent } from "../i18n/units";
import { connection, hello, metrics, samples, shownState } from "../session";
import { causeWords, lostWords } from "../words";
import { now } from "./now";
import { stateSpans, type StateSpan } from "./state-spans";

/** What the server does, unmistakably, and what it did in the last minutes. */
export function StatePanel() {
    const state = shownState.value;
    const spans = stateSpans(samples.value, now.value, state);
    const current = spans[spans.length - 1];
    const progress = metrics.value?.inference.load_progress;
    const isLoading = state === "loading" || state === "restarting";
    return (
        <section class="state-panel card" data-state={state} aria-label={t("dashboard.state")}>
            <div class="state-now">
                <span class="state-mark" aria-hidden="true" />
                <div>
                    <p class="state-name">{t(`state.${state}`)}</p>
                    <p class="state-details">{details(current)}</p>
                </div>
                <p class="state-model" dir="auto">
                    {hello.value?.model.name}
                </p>
            </div>
            {isLoading && progress !== undefined && (
                <div class="state-progress">
                    <progress value={progress} max={1} aria-label={t("dashboard.load-progress")} />
                    <b>{percent(progress)}</b>
                </div>
            )}
            {spans.length > 0 && <Strip spans={spans} />}
        </section>
    );
}

/** Why the state is what it is, and since when. */
function details(span: StateSpan | undefined): string {
    const cause = lostWords(connection.value) ?? (span?.cause && causeWords(span.cause));
    const since = span && t("dashboard.since", { time: clock(span.from * 1000) });
    return [cause, since].filter((text) => text).join(" · ");
}

/** The states over time as a bar. */
function Strip({ spans }: { spans: StateSpan[] }) {
    const states = [...new Set(spans.map(({ state }) => state))];
    return (
        <>
            <div class="strip" aria-hidden="true">
                {spans.map(({ state, from, to, cause }) => (
                    <span
                        key={from}
                        data-state={state}
                        style={{ flexGrow: Math.max(0, to - from) }}
                        title={[
                            `${clock(from * 1000)} – ${clock(to * 1000)}`,
                            t(`state.${state}`),
                            cause && causeWords(cause),
                        ]
                            .filter((text) => text)
                            .join("\n")}
                    />
                ))}
            </div>
            <div class="strip-footer">
                <span>{clock((spans[0]?.from ?? 0) * 1000)}</span>
                <ul class="strip-legend" aria-hidden="true">
                    {states.map((state) => (
                        <li key={state}>
                            <span class="swatch" data-state={state} />
                            {t(`state.${state}`)}
                        </li>
                    ))}
                </ul>
                <span>{t("dashboard.now")}</span>
            </div>
            <details class="as-table">
                <summary>{t("chart.as-table")}</summary>
                <div
                    class="table-frame"
                    role="region"
                    aria-label={t("dashboard.states")}
                    tabIndex={0}
                >
                    <table class="table">
                        <thead>
                            <tr>
                                <th scope="col">{t("chart.time")}</th>
                                <th scope="col">{t("dashboard.state")}</th>
                                <th scope="col" class="is-number">
                                    {t("dashboard.how-long")}
                                </th>
                                <th scope="col">{t("dashboard.cause")}</th>
                            </tr>
                        </thead>
                        <tbody>
                            {spans
                                .slice(-MAX_ROWS)
                                .reverse()
                                .map(({ state, from, to, cause }) => (
                                    <tr key={from}>
                                        <th scope="row">{clock(from * 1000)}</th>
                                        <td>{t(`state.${state}`)}</td>
                                        <td class="is-number">{duration((to - from) * 1000)}</td>
                                        <td>{cause && causeWords(cause)}</td>
                                    </tr>
                                ))}
                        </tbody>
                    </table>
                </div>
            </details>
        </>
    );
}

/** Most rows of the table of states. */
const MAX_ROWS = 60;
