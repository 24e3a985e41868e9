import type { ComponentChildren } from "preact";

import { number, t } from "../../i18n";
import { Field } from "../../ui/field";
import { NumberInput, useTypedNumber } from "./number-field";
import type { NumberParameter } from "./parameters";
import { ResetButton } from "./reset-button";

/** A parameter that is a number: a slider, a field, what it means, and a way back to its default. */
export function NumberControl({
    parameter,
    value,
    onChange,
}: {
    parameter: NumberParameter;
    value: number | undefined;
    onChange: (value: number | undefined) => void;
}) {
    const { name, initial, slider } = parameter;
    const label = t(`params.${name}`);
    const typed = useTypedNumber(label, value, parameter, onChange);
    const initialText = parameter.initialText ? t(parameter.initialText) : number(initial, 2);
    const shown = value ?? initial;
    const reset = () => {
        typed.forget();
        onChange(undefined);
    };
    const isSet = value !== undefined || typed.error !== null;
    return (
        <Parameter
            name={name}
            error={typed.error}
            initial={initialText}
            onReset={isSet ? reset : null}
        >
            {(ties) => (
                <div class="number-row">
                    {slider && (
                        <input
                            type="range"
                            {...slider}
                            aria-label={t("params.slider", { name: label })}
                            value={Math.min(slider.max, Math.max(slider.min, shown))}
                            onInput={({ currentTarget }) => onChange(Number(currentTarget.value))}
                        />
                    )}
                    <NumberInput
                        ties={ties}
                        typed={typed}
                        initial={parameter.initialText ? initialText : String(initial)}
                        isInteger={parameter.isInteger}
                    />
                </div>
            )}
        </Parameter>
    );
}

/** The parameters whose texts the panel has. */
export type ParameterName =
    | NumberParameter["name"]
    | "stop"
    | "logit_bias"
    | "ignore_eos"
    | "special"
    | "cache_prompt"
    | "speculative";

/** A parameter: its name, its name in requests, its control, what it means, and its default. */
export function Parameter({
    name,
    error = null,
    initial,
    onReset,
    children,
}: {
    name: ParameterName;
    error?: string | null;
    /** Its default in words. */
    initial: string;
    /** `null` while it has its default. */
    onReset: (() => void) | null;
    children: Parameters<typeof Field>[0]["children"];
}) {
    return (
        <Setting onReset={onReset} label={t(`params.${name}`)}>
            <Field label={t(`params.${name}`)} help={t(`params.${name}.help`)} error={error}>
                {children}
            </Field>
            <ParameterDefault name={name} initial={initial} />
        </Setting>
    );
}

/** What a parameter is called in requests, and what it is if nobody sets it. */
export function ParameterDefault({ name, initial }: { name: ParameterName; initial: string }) {
    return (
        <p class="parameter-default">
            <code>{name}</code> · {t("params.default", { value: initial })}
        </p>
    );
}

/** A part of the panel with a button that takes it back to its default. */
export function Setting({
    label,
    onReset,
    children,
}: {
    label: string;
    onReset: (() => void) | null;
    children: ComponentChildren;
}) {
    return (
        <div class="setting">
            {children}
            {onReset && <ResetButton name={label} onClick={onReset} />}
        </div>
    );
}
