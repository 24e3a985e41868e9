import { useState } from "preact/hooks";

import { number, t } from "../../i18n";
import { useFault } from "./faults";
import { MAX_INT, parseNumber, type NumberRange } from "./parameters";

/** The attributes that tie a control to its label and its explanation. */
interface Ties {
    id: string;
    "aria-describedby": string;
    "aria-invalid": boolean;
}

/** A number that is being typed: its text, and what is wrong with it. */
export interface TypedNumber {
    text: string;
    error: string | null;
    type: (text: string) => void;
    /** Forgets a text that is wrong. */
    forget: () => void;
}

/** Reads a number as it is typed in `field`. A text outside of the range is no value. */
export function useTypedNumber(
    field: string,
    value: number | undefined,
    range: NumberRange,
    onChange: (value: number | undefined) => void,
): TypedNumber {
    // What was typed, as long as `value` is the one that came of it.
    const [typed, setTyped] = useState<{ text: string; of: number | undefined } | null>(null);
    const text = typed && typed.of === value ? typed.text : (value?.toString() ?? "");
    const isWrong = parseNumber(text, range) === null;
    const error = isWrong ? rangeText(range) : null;
    useFault(field, error);
    const type = (text: string) => {
        const parsed = parseNumber(text, range);
        setTyped({ text, of: parsed === null ? value : parsed });
        if (parsed !== null && parsed !== value) onChange(parsed);
    };
    return { text, error, type, forget: () => setTyped(null) };
}

/** The field of a number. It is a text field: those for numbers hide what is no number. */
export function NumberInput({
    ties,
    typed,
    initial,
    isInteger,
}: {
    ties: Ties | { "aria-label": string; "aria-invalid": boolean };
    typed: TypedNumber;
    /** What counts while the field is empty. */
    initial?: string | undefined;
    isInteger: boolean;
}) {
    return (
        <input
            {...ties}
            class="number-field"
            type="text"
            inputMode={isInteger ? "numeric" : "decimal"}
            autocomplete="off"
            placeholder={initial}
            value={typed.text}
            onInput={(event) => typed.type(event.currentTarget.value)}
        />
    );
}

/** Which numbers are allowed. */
export function rangeText({ min, max, isInteger }: NumberRange): string {
    const values = { min: plain(min), max: plain(max) };
    if (max === MAX_INT) return t("params.range.from", values);
    return t(isInteger ? "params.range.integer" : "params.range.real", values);
}

function plain(value: number): string {
    return number(value, 2);
}
