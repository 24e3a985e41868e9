/** The numbers that a request can have: their ranges, their defaults and where the panel has them. */

import type { TextKey } from "../../i18n";
import type { Params } from "../../protocol";

/** The parameters that are numbers and have a field of their own. */
export type NumberName =
    | "temp"
    | "max_tokens"
    | "seed"
    | "top_k"
    | "top_p"
    | "min_p"
    | "typical_p"
    | "repeat_penalty"
    | "presence_penalty"
    | "frequency_penalty"
    | "repeat_last_n"
    | "reasoning_budget";

/** The parts of the panel that hold parameters. */
export type Group = "basics" | "sampling" | "penalties" | "advanced";

/** What a number may be. */
export interface NumberRange {
    min: number;
    max: number;
    isInteger: boolean;
}

export interface NumberParameter extends NumberRange {
    name: NumberName;
    group: Group;
    /** What the server takes if the request does not say. */
    initial: number;
    /** What `initial` means, where the number alone says nothing. */
    initialText?: TextKey;
    /** The part of the range that a slider covers; without it there is only a number. */
    slider?: { min: number; max: number; step: number };
}

export const MAX_INT = 2_147_483_647;

export const NUMBERS: readonly NumberParameter[] = [
    real("temp", "basics", 0, 10, 0.8, { min: 0, max: 2, step: 0.05 }),
    unset("max_tokens", "basics", MAX_INT, "params.no-limit"),
    unset("seed", "basics", 4_294_967_294, "params.random"),
    integer("top_k", "sampling", 0, MAX_INT, 40, { min: 0, max: 200, step: 1 }),
    real("top_p", "sampling", 0, 1, 0.95, { min: 0, max: 1, step: 0.01 }),
    real("min_p", "sampling", 0, 1, 0.05, { min: 0, max: 1, step: 0.01 }),
    real("typical_p", "sampling", 0, 1, 1, { min: 0, max: 1, step: 0.01 }),
    real("repeat_penalty", "penalties", 0.01, 10, 1, { min: 0.5, max: 2, step: 0.01 }),
    real("presence_penalty", "penalties", -10, 10, 0, { min: -2, max: 2, step: 0.05 }),
    real("frequency_penalty", "penalties", -10, 10, 0, { min: -2, max: 2, step: 0.05 }),
    integer("repeat_last_n", "penalties", -1, MAX_INT, 64),
    unset("reasoning_budget", "advanced", MAX_INT, "params.no-limit"),
];

/** Ranges of numbers that are parts of other parameters. */
export const TOKEN_ID: NumberRange = { min: 0, max: MAX_INT, isInteger: true };
export const BIAS: NumberRange = { min: -100, max: 100, isInteger: false };
export const RIVALS = { min: 1, max: 20, isInteger: true, initial: 5 } as const;

export const MAX_STOPS = 64;
export const MAX_STOP_BYTES = 1024;
export const MAX_BIASES = 1024;
export const MAX_CHOICES = 1024;

/** The parameters of each part of the panel, for counting and resetting them. */
export const NAMES: Record<Group, readonly (keyof Params)[]> = {
    basics: [...namesIn("basics"), "stop"],
    sampling: namesIn("sampling"),
    penalties: namesIn("penalties"),
    advanced: [
        ...namesIn("advanced"),
        "logit_bias",
        "ignore_eos",
        "special",
        "cache_prompt",
        "speculative",
    ],
};

/** What a text says as a number in a range: `undefined` if it is empty, `null` if it is wrong. */
export function parseNumber(text: string, range: NumberRange): number | undefined | null {
    const trimmed = text.trim().replace(",", ".").replace("−", "-");
    if (trimmed === "") return undefined;
    const value = Number(trimmed);
    const isRight =
        Number.isFinite(value) &&
        value >= range.min &&
        value <= range.max &&
        (!range.isInteger || Number.isInteger(value));
    return isRight ? value : null;
}

/** `params` with `name` set; `undefined` leaves it to the server. */
export function withParam<N extends keyof Params>(
    params: Params,
    name: N,
    value: Params[N] | undefined,
): Params {
    const { [name]: _, ...others } = params;
    return value === undefined ? others : { ...others, [name]: value };
}

/** `params` without those in `names`. */
export function withoutParams(params: Params, names: readonly (keyof Params)[]): Params {
    return names.reduce<Params>((left, name) => withParam(left, name, undefined), params);
}

function real(
    name: NumberName,
    group: Group,
    min: number,
    max: number,
    initial: number,
    slider: NonNullable<NumberParameter["slider"]>,
): NumberParameter {
    return { name, group, min, max, initial, isInteger: false, slider };
}

function integer(
    name: NumberName,
    group: Group,
    min: number,
    max: number,
    initial: number,
    slider?: NumberParameter["slider"],
): NumberParameter {
    return { name, group, min, max, initial, isInteger: true, ...(slider && { slider }) };
}

/** A whole number that is -1 unless it is set. */
function unset(name: NumberName, group: Group, max: number, initialText: TextKey): NumberParameter {
    return { ...integer(name, group, -1, max, -1), initialText };
}

function namesIn(group: Group): NumberName[] {
    return NUMBERS.filter((parameter) => parameter.group === group).map(({ name }) => name);
}
