import { useState } from "preact/hooks";

import { t } from "../../i18n";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { byteLength } from "./escapes";
import { useFault } from "./faults";
import { jsonFault } from "./json-check";

/**
 * A field for JSON. It says at once where the text is wrong, and tells `onChange` only what is
 * right.
 */
export function JsonEditor({
    label,
    help,
    value,
    problem,
    onChange,
}: {
    label: string;
    help?: string;
    value: unknown;
    /** What is wrong with a value although it is JSON. Such a value is not told. */
    problem?: (value: unknown) => string | null;
    onChange: (value: unknown) => void;
}) {
    // What was typed, as long as `value` is the one that came of it.
    const [typed, setTyped] = useState<{ text: string; of: unknown } | null>(null);
    const text = typed && typed.of === value ? typed.text : tidy(value);
    const error = errorOf(text, problem);
    useFault(label, error);
    const change = (text: string) => {
        const parsed: unknown = errorOf(text, problem) === null ? JSON.parse(text) : value;
        setTyped({ text, of: parsed });
        if (parsed !== value) onChange(parsed);
    };
    return (
        <div class="json-editor">
            <Field label={label} help={help} error={error}>
                {(attributes) => (
                    <textarea
                        {...attributes}
                        class="code-field"
                        rows={Math.min(MAX_ROWS, Math.max(MIN_ROWS, text.split("\n").length))}
                        spellcheck={false}
                        autocomplete="off"
                        value={text}
                        onInput={(event) => change(event.currentTarget.value)}
                    />
                )}
            </Field>
            <Button
                disabled={jsonFault(text) !== null}
                onClick={() => change(tidy(JSON.parse(text)))}
            >
                {t("json.tidy")}
            </Button>
        </div>
    );
}

function errorOf(
    text: string,
    problem: ((value: unknown) => string | null) | undefined,
): string | null {
    if (byteLength(text) > MAX_BYTES) return t("json.too-long", { kib: MAX_BYTES / 1024 });
    const fault = jsonFault(text);
    if (!fault) return problem?.(JSON.parse(text)) ?? null;
    const { line, column, kind } = fault;
    return t("json.at", {
        line: String(line),
        column: String(column),
        problem: t(`json.fault.${kind}`),
    });
}

function tidy(value: unknown): string {
    return JSON.stringify(value, null, 2) ?? "";
}

/** The longest constraint that the server reads. */
const MAX_BYTES = 256 * 1024;

const MIN_ROWS = 5;
const MAX_ROWS = 16;
