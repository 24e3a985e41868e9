import type { ComponentChildren, JSX } from "preact";

import { Icon, type IconName } from "./icon";

type Attributes = Omit<JSX.IntrinsicElements["button"], "icon" | "label">;

/** A button with a text, and an icon before it. */
export function Button({
    icon,
    kind = "plain",
    children,
    ...attributes
}: Attributes & {
    icon?: IconName;
    kind?: "plain" | "primary" | "danger";
    children: ComponentChildren;
}) {
    return (
        <button type="button" {...attributes} class={`button button-${kind}`}>
            {icon && <Icon name={icon} />}
            <span>{children}</span>
        </button>
    );
}

/** A button that shows an icon alone. `label` says what the button does. */
export function IconButton({
    icon,
    label,
    ...attributes
}: Attributes & { icon: IconName; label: string }) {
    return (
        <button type="button" {...attributes} class="icon-button" aria-label={label} title={label}>
            <Icon name={icon} />
        </button>
    );
}
