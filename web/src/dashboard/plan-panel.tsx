import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { ApiError, get } from "../api";
import { number, t } from "../i18n";
import { bytes } from "../i18n/units";
import { connection } from "../session";
import { Button } from "../ui/button";
import { Icon } from "../ui/icon";
import { AS_SERVED, planBars, planChanges, planPath, type Plan, type WhatIf } from "./plan";
import { StackedBar } from "./stacked-bar";
import { WhatIfForm } from "./what-if-form";

/** Where the model's memory goes, and what other options would change about that. */
export function PlanPanel({ onPlan }: { onPlan: (plan: Plan) => void }) {
    const present = usePlan(AS_SERVED);
    const whatIf = useSignal<WhatIf>(AS_SERVED);
    const isTrying = planPath(whatIf.value) !== planPath(AS_SERVED);
    const other = usePlan(isTrying ? whatIf.value : null);
    useEffect(() => {
        if (present.plan) onPlan(present.plan);
    }, [present.plan]);
    if (!present.plan) {
        return present.problem ? <p class="hint">{present.problem}</p> : null;
    }
    const shown = isTrying ? (other.plan ?? present.plan) : present.plan;
    return (
        <div class="plan">
            <div class="plan-what-if card">
                <h3>{t("plan.what-if")}</h3>
                <WhatIfForm
                    plan={present.plan}
                    value={whatIf.value}
                    onChange={(value) => (whatIf.value = value)}
                />
                {isTrying && (
                    <Button icon="retry" onClick={() => (whatIf.value = AS_SERVED)}>
                        {t("plan.reset")}
                    </Button>
                )}
                <div role="status">
                    {isTrying && other.problem && <p class="field-error">{other.problem}</p>}
                    {isTrying && other.plan && <Changes before={present.plan} after={other.plan} />}
                </div>
            </div>
            <div class="plan-bars card" aria-busy={other.isLoading}>
                <PlanFacts plan={shown} isTried={shown !== present.plan} />
                {planBars(shown, shown === present.plan ? null : present.plan).map((bar) => (
                    <section key={bar.name} class="plan-place">
                        <h4>
                            {bar.name}
                            <span class="plan-used">
                                {t("plan.used", { size: bytes(bar.used), n: bar.layers })}
                            </span>
                        </h4>
                        <StackedBar label={bar.name} parts={bar.parts} format={bytes} />
                        {bar.excess > 0 && (
                            <p class="field-error">
                                {t("plan.excess", { size: bytes(bar.excess) })}
                            </p>
                        )}
                    </section>
                ))}
            </div>
        </div>
    );
}

/** What the plan says in words. The server writes its reasons in English. */
function PlanFacts({ plan, isTried }: { plan: Plan; isTried: boolean }) {
    return (
        <div class="plan-facts">
            <h3>{isTried ? t("plan.tried") : t("plan.present")}</h3>
            <p>
                {t("plan.summary", {
                    layers: plan.gpu_layers,
                    all: plan.n_layers,
                    tokens: plan.kv_tokens,
                    type: plan.kv_type,
                })}
            </p>
            <p class="hint" lang="en">
                {plan.why}
            </p>
            {[...plan.warnings, ...plan.advice].map((line) => (
                <p key={line} class="hint plan-advice" lang="en">
                    <Icon name={plan.warnings.includes(line) ? "warning" : "info"} />
                    <span>{line}</span>
                </p>
            ))}
        </div>
    );
}

function Changes({ before, after }: { before: Plan; after: Plan }) {
    const changes = planChanges(before, after, (n) => number(n, 0));
    if (changes.length === 0) return <p class="hint">{t("plan.same")}</p>;
    return (
        <table class="table">
            <thead>
                <tr>
                    <th scope="col">
                        <span class="visually-hidden">{t("plan.what")}</span>
                    </th>
                    <th scope="col" class="is-number">
                        {t("plan.now")}
                    </th>
                    <th scope="col" class="is-number">
                        {t("plan.then")}
                    </th>
                </tr>
            </thead>
            <tbody>
                {changes.map(({ label, before, after }) => (
                    <tr key={label}>
                        <th scope="row">{label}</th>
                        <td class="is-number">{before}</td>
                        <td class="is-number">
                            <b>{after}</b>
                        </td>
                    </tr>
                ))}
            </tbody>
        </table>
    );
}

interface PlanState {
    plan: Plan | null;
    problem: string | null;
    isLoading: boolean;
}

/** Asks the server for a plan, when `whatIf` has not changed for a moment; `null` asks nothing. */
function usePlan(whatIf: WhatIf | null): PlanState {
    const path = whatIf && planPath(whatIf);
    const state = useSignal<PlanState>(NO_PLAN);
    const isOpen = connection.value.kind === "open";
    useEffect(() => {
        if (path === null) state.value = NO_PLAN;
        if (path === null || !isOpen) return;
        const request = new AbortController();
        state.value = { ...state.value, isLoading: true };
        const ask = async () => {
            try {
                const plan = await get<Plan>(path, request.signal);
                state.value = { plan, problem: null, isLoading: false };
            } catch (error) {
                if (request.signal.aborted) return;
                state.value = { plan: null, problem: problemOf(error), isLoading: false };
            }
        };
        const timer = setTimeout(ask, DEBOUNCE_MS);
        return () => {
            clearTimeout(timer);
            request.abort();
        };
    }, [path, isOpen]);
    return state.value;
}

function problemOf(error: unknown): string {
    if (!(error instanceof ApiError)) return t("plan.unreachable");
    if (error.status === 404) return t("plan.older");
    if (error.status === 401 || error.status === 403) return t("plan.forbidden");
    return error.message;
}

const NO_PLAN: PlanState = { plan: null, problem: null, isLoading: false };

/** How long nothing must have changed before the server is asked. */
const DEBOUNCE_MS = 300;
