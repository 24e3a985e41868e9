/** The plan of where the model's memory goes, as `inference-core plan --json` prints it. */

import { t } from "../i18n";
import { bytes, difference } from "../i18n/units";
import type { BarPart } from "./stacked-bar";

/** What one device holds, in bytes. */
export interface PlanPlace {
    /** `GPU 0`, …, or `cpu`. */
    name: string;
    layers: number;
    weights: number;
    kv: number;
    /** The compute buffer. */
    compute: number;
    /** What the driver takes. */
    context: number;
    total: number;
    /** What may be used beside the reserve; `null` for the CPU. */
    budget: number | null;
}

export interface Plan {
    model: string;
    ctx_size: number;
    parallel: number;
    kv_tokens: number;
    kv_type: string;
    cache_ram_bytes: number;
    vram_reserve_bytes: number;
    gpu_layers: number;
    n_layers: number;
    /** Why that many layers are on GPUs. */
    why: string;
    fits: boolean;
    advice: string[];
    warnings: string[];
    places: PlanPlace[];
    /** What the draft model takes in host RAM. */
    draft: PlanPlace | null;
}

/** What can be tried out. An empty text is what the server uses. */
export interface WhatIf {
    ctx_size: string;
    parallel: string;
    kv_type: string;
    vram: string;
}

export const AS_SERVED: WhatIf = { ctx_size: "", parallel: "", kv_type: "", vram: "" };

/** The address of the plan for `whatIf`, relative to the page. */
export function planPath(whatIf: WhatIf): string {
    const given = Object.entries(whatIf).filter(([, value]) => value.trim() !== "");
    const query = new URLSearchParams(given.map(([name, value]) => [name, value.trim()]));
    return given.length > 0 ? `plan?${query}` : "plan";
}

/** One device as a bar. */
export interface PlanBar {
    name: string;
    isHost: boolean;
    layers: number;
    /** What the model takes of it. */
    used: number;
    parts: BarPart[];
    /** By how many bytes the parts exceed what there is. */
    excess: number;
}

/**
 * The bars of `plan`: the GPUs, then the host's RAM. The parts of a GPU add up to its free memory
 * when nothing is loaded, or to what the plan takes if that is more. Next to each part stands how it
 * differs from `before`.
 */
export function planBars(plan: Plan, before: Plan | null = null): PlanBar[] {
    return plan.places.map((place) => {
        const other = before && (before.places.find(({ name }) => name === place.name) ?? null);
        const parts = placeParts(plan, place);
        const partsBefore = other && placeParts(before, other);
        return {
            name: place.budget === null ? t("plan.host") : place.name,
            isHost: place.budget === null,
            layers: place.layers,
            used: place.total + (place.budget === null ? hostExtras(plan) : 0),
            parts: partsBefore ? withDifferences(parts, partsBefore) : parts,
            excess: place.budget === null ? 0 : Math.max(0, place.total - place.budget),
        };
    });
}

function placeParts(plan: Plan, place: PlanPlace): BarPart[] {
    const used: BarPart[] = [
        { name: "weights", label: t("plan.weights"), value: place.weights },
        { name: "kv", label: t("plan.kv"), value: place.kv },
        { name: "compute", label: t("plan.compute"), value: place.compute },
        { name: "driver", label: t("plan.driver"), value: place.context },
    ];
    if (place.budget === null) {
        return [
            ...used,
            { name: "draft", label: t("plan.draft"), value: plan.draft?.total ?? 0 },
            { name: "cache", label: t("plan.cache"), value: plan.cache_ram_bytes },
        ];
    }
    const free = Math.max(0, place.budget - place.total);
    return [
        ...used,
        { name: "free", label: t("plan.free"), value: free },
        { name: "reserve", label: t("plan.reserve"), value: plan.vram_reserve_bytes },
    ];
}

/** What the host's RAM holds beside the model. */
function hostExtras(plan: Plan): number {
    return plan.cache_ram_bytes + (plan.draft?.total ?? 0);
}

function withDifferences(parts: BarPart[], before: BarPart[]): BarPart[] {
    return parts.map((part) => {
        const change = part.value - (before.find(({ name }) => name === part.name)?.value ?? 0);
        return change === 0 ? part : { ...part, note: difference(change, bytes) };
    });
}

/** One line of the comparison of two plans. */
export interface PlanChange {
    label: string;
    before: string;
    after: string;
}

/** What `after` changes, in the order of importance. */
export function planChanges(before: Plan, after: Plan, count: (n: number) => string): PlanChange[] {
    const layers = (plan: Plan) => `${count(plan.gpu_layers)} / ${count(plan.n_layers)}`;
    const total = (plan: Plan, isHost: boolean) =>
        bytes(
            plan.places
                .filter(({ budget }) => (budget === null) === isHost)
                .reduce((sum, { total }) => sum + total, isHost ? hostExtras(plan) : 0),
        );
    const rows: [string, (plan: Plan) => string][] = [
        [t("plan.ctx-size"), (plan) => count(plan.ctx_size)],
        [t("plan.parallel"), (plan) => count(plan.parallel)],
        [t("plan.kv-type"), (plan) => plan.kv_type],
        [t("plan.layers"), layers],
        [t("plan.kv-tokens"), (plan) => count(plan.kv_tokens)],
        [t("plan.on-gpus"), (plan) => total(plan, false)],
        [t("plan.on-host"), (plan) => total(plan, true)],
    ];
    return rows
        .map(([label, of]) => ({ label, before: of(before), after: of(after) }))
        .filter(({ before, after }) => before !== after);
}
