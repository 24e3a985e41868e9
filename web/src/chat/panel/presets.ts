/** Sets of sampling parameters for a purpose. */

import type { Params } from "../../protocol";
import { withoutParams } from "./parameters";

export const PRESETS = ["exact", "balanced", "creative"] as const;
export type Preset = (typeof PRESETS)[number];

/** `params` with the sampling of `preset`. All that is not about sampling stays. */
export function withPreset(params: Params, preset: Preset): Params {
    return { ...withoutParams(params, SAMPLING), ...VALUES[preset] };
}

/** The preset that `params` have, if they have one. */
export function presetOf(params: Params): Preset | null {
    const isEqual = (values: Params) => SAMPLING.every((name) => params[name] === values[name]);
    return PRESETS.find((preset) => isEqual(VALUES[preset])) ?? null;
}

const SAMPLING = ["temp", "top_k", "top_p", "min_p", "typical_p"] as const;

const VALUES: Record<Preset, Params> = {
    exact: { temp: 0 },
    balanced: {},
    creative: { temp: 1.2, top_k: 0, top_p: 1, min_p: 0.05 },
};
