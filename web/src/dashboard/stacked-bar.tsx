import { percent } from "../i18n/units";

/** One part of a stacked bar. Its name decides on its colour (dashboard.css). */
export interface BarPart {
    name: string;
    label: string;
    value: number;
    /** Written after the value, such as a difference. */
    note?: string | undefined;
}

/** Parts of a whole as a bar, with what each of them is below it. Parts of no size are left out. */
export function StackedBar({
    label,
    parts,
    format,
}: {
    label: string;
    parts: BarPart[];
    format: (value: number) => string;
}) {
    const shown = parts.filter(({ value, note }) => value > 0 || note);
    const total = shown.reduce((sum, { value }) => sum + value, 0);
    return (
        <figure class="stacked" aria-label={label}>
            <div class="stacked-bar" aria-hidden="true">
                {shown.map(({ name, label, value }) => (
                    <span
                        key={name}
                        data-part={name}
                        title={`${label}: ${format(value)}`}
                        style={{ flexGrow: total > 0 ? value / total : 0 }}
                    />
                ))}
            </div>
            <ul class="stacked-legend">
                {shown.map(({ name, label, value, note }) => (
                    <li key={name} title={total > 0 ? percent(value / total) : undefined}>
                        <span class="swatch" data-part={name} aria-hidden="true" />
                        <span>{label}</span>
                        <b>{format(value)}</b>
                        {note && <span class="stacked-note">{note}</span>}
                    </li>
                ))}
            </ul>
        </figure>
    );
}
