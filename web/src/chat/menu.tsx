/** A button that opens a list of actions. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { IconButton } from "../ui/button";
import { Icon, type IconName } from "../ui/icon";

export interface Action {
    icon: IconName;
    label: string;
    run: () => void;
}

export function Menu({ label, actions }: { label: string; actions: Action[] }) {
    const isOpen = useSignal(false);
    const element = useRef<HTMLDivElement>(null);
    const items = () => [
        ...(element.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? []),
    ];
    const close = () => {
        isOpen.value = false;
        element.current?.querySelector("button")?.focus();
    };
    useEffect(() => {
        if (isOpen.value) items()[0]?.focus();
    }, [isOpen.value]);
    const onKeyDown = (event: KeyboardEvent) => {
        if (!isOpen.value) return;
        const all = items();
        const at = all.indexOf(document.activeElement as HTMLElement);
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") close();
        else if (step) all.at((at + step) % all.length)?.focus();
        else return;
        event.preventDefault();
        event.stopPropagation();
    };
    return (
        <div
            ref={element}
            class="menu"
            onKeyDown={onKeyDown}
            onFocusOut={({ relatedTarget }) => {
                if (!element.current?.contains(relatedTarget as Node | null)) isOpen.value = false;
            }}
        >
            <IconButton
                icon="more"
                label={label}
                aria-haspopup="menu"
                aria-expanded={isOpen.value}
                onClick={() => (isOpen.value = !isOpen.value)}
            />
            {isOpen.value && (
                <div class="menu-list" role="menu" aria-label={label}>
                    {actions.map(({ icon, label, run }) => (
                        <button
                            key={label}
                            type="button"
                            role="menuitem"
                            tabIndex={-1}
                            onClick={() => {
                                close();
                                run();
                            }}
                        >
                            <Icon name={icon} />
                            <span>{label}</span>
                        </button>
                    ))}
                </div>
            )}
        </div>
    );
}
