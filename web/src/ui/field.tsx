import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

/** A label, a control and an explanation below it. */
export function Field({
    label,
    help,
    error,
    children,
}: {
    label: string;
    help?: string | undefined;
    error?: string | null | undefined;
    /** Makes the control, with the attributes that tie it to its label and its explanation. */
    children: (attributes: {
        id: string;
        "aria-describedby": string;
        "aria-invalid": boolean;
    }) => ComponentChildren;
}) {
    const id = useId();
    const helpId = `${id}-help`;
    return (
        <div class="field">
            <label for={id}>{label}</label>
            {children({ id, "aria-describedby": helpId, "aria-invalid": Boolean(error) })}
            <p id={helpId} class={error ? "field-error" : "field-help"}>
                {error || help}
            </p>
        </div>
    );
}
