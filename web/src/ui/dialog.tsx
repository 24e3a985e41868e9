import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

import { t } from "../i18n";
import { IconButton } from "./button";

/** A modal dialog. The browser keeps the focus inside, and Escape closes it. */
export function Dialog({
    title,
    onClose,
    children,
}: {
    title: string;
    onClose: () => void;
    children: ComponentChildren;
}) {
    const element = useRef<HTMLDialogElement>(null);
    const titleId = useId();
    useEffect(() => {
        element.current?.showModal();
    }, []);
    return (
        <dialog
            ref={element}
            class="dialog"
            aria-labelledby={titleId}
            onCancel={(event) => {
                event.preventDefault();
                onClose();
            }}
            // Browsers let nobody keep a dialog open by force.
            onClose={onClose}
        >
            <header class="dialog-header">
                <h2 id={titleId}>{title}</h2>
                <IconButton icon="close" label={t("common.close")} onClick={onClose} />
            </header>
            {children}
        </dialog>
    );
}
