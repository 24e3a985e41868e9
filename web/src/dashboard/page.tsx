import { useComputed, useSignal, type Signal } from "@preact/signals";

import { t } from "../i18n";
import { connection, hello, metrics, rights } from "../session";
import "../styles/data.css";
import { second } from "../ui/second";
import { Chart } from "./chart";
import { chartSpecs } from "./charts";
import "./dashboard.css";
import { GpuCard } from "./gpu-card";
import { PlanPanel } from "./plan-panel";
import { StatePanel } from "./state-panel";
import { Tiles } from "./tiles";

/** What the server and its GPUs do now, and did in the last 15 minutes. */
export function DashboardPage() {
    const mayRead = rights.value.includes("metrics");
    return (
        <div class="page dashboard">
            <h1>{t("nav.dashboard")}</h1>
            {connection.value.kind === "key-needed" ? (
                <p class="hint">{t("dashboard.key-needed")}</p>
            ) : (
                hello.value && !mayRead && <p class="hint">{t("dashboard.no-right")}</p>
            )}
            <Sections />
        </div>
    );
}

/** Each section reads what it shows, so that a new frame changes no other one. */
function Sections() {
    const reserve = useSignal(0);
    const hasMetrics = useComputed(() => metrics.value !== null);
    return (
        <>
            <StatePanel />
            {hasMetrics.value && (
                <>
                    <Tiles />
                    <Gpus reserve={reserve} />
                    <Charts />
                </>
            )}
            <h2>{t("plan.title")}</h2>
            <PlanPanel onPlan={(plan) => (reserve.value = plan.vram_reserve_bytes)} />
        </>
    );
}

function Gpus({ reserve }: { reserve: Signal<number> }) {
    const gpus = metrics.value?.gpus ?? [];
    if (gpus.length === 0) {
        const backend = hello.value?.backend ?? "cpu";
        const text = backend === "cpu" ? t("gpu.none") : t("gpu.unread", { backend });
        return <p class="hint no-gpu">{text}</p>;
    }
    return (
        <>
            <h2>{t("gpu.title")}</h2>
            <div class="gpus">
                {gpus.map((gpu) => (
                    <GpuCard key={gpu.uuid} gpu={gpu} reserve={gpu.in_use ? reserve.value : 0} />
                ))}
            </div>
        </>
    );
}

/** The charts change once a second, however often frames come. */
function Charts() {
    void second.value;
    const latest = metrics.peek();
    if (!latest) return null;
    return (
        <>
            <h2>{t("chart.title")}</h2>
            <div class="charts">
                {chartSpecs(latest).map((spec) => (
                    <Chart key={spec.id} spec={spec} />
                ))}
            </div>
        </>
    );
}
