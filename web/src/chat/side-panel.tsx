/** A panel beside the conversation; on screens without space for it, a drawer above it. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { t } from "../i18n";
import { IconButton } from "../ui/button";

/** Whether there is space beside the conversation for the list, and for the settings as well. */
export const hasSpace = {
    list: matches("(min-width: 900px)"),
    settings: matches("(min-width: 1240px)"),
};

export function SidePanel({
    side,
    label,
    isOpen,
    onClose,
    children,
}: {
    side: keyof typeof hasSpace;
    label: string;
    isOpen: boolean;
    onClose: () => void;
    children: ComponentChildren;
}) {
    if (!isOpen) return null;
    const name = `side side-${side}`;
    if (!hasSpace[side].value) {
        return (
            <Drawer name={name} label={label} onClose={onClose}>
                {children}
            </Drawer>
        );
    }
    return (
        <aside class={name} aria-label={label}>
            {children}
        </aside>
    );
}

function Drawer({
    name,
    label,
    onClose,
    children,
}: {
    name: string;
    label: string;
    onClose: () => void;
    children: ComponentChildren;
}) {
    const element = useRef<HTMLDialogElement>(null);
    useEffect(() => element.current?.showModal(), []);
    return (
        <dialog
            ref={element}
            class={`${name} drawer`}
            aria-label={label}
            onCancel={(event) => {
                event.preventDefault();
                onClose();
            }}
            onClick={(event) => {
                // The backdrop belongs to the dialog; all else is inside its content.
                if (event.target === event.currentTarget) onClose();
            }}
        >
            <div class="drawer-content">
                <div class="drawer-close">
                    <IconButton icon="close" label={t("common.close")} onClick={onClose} />
                </div>
                {children}
            </div>
        </dialog>
    );
}

function matches(query: string) {
    const list = matchMedia(query);
    const value = signal(list.matches);
    list.addEventListener("change", () => (value.value = list.matches));
    return value;
}
