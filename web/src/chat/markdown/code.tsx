/** A block of code, coloured once it is complete. */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { t } from "../../i18n";
import { IconButton } from "../../ui/button";
import { later } from "../../ui/lazy";
import { copy } from "../copy";
import { MAX_HIGHLIGHT } from "./limits";
import { pieces } from "./plain";
import { withVisibleControls } from "./text";

export function CodeBlock({
    code,
    language,
    isOpen = false,
}: {
    code: string;
    language: string;
    /** Whether more of it may come. */
    isOpen?: boolean;
}) {
    const name = language.slice(0, MAX_NAME);
    const shown = withVisibleControls(code);
    return (
        <figure class="code">
            <figcaption>
                <span dir="auto">{name || t("chat.code")}</span>
                <IconButton
                    icon="copy"
                    label={t("chat.code.copy")}
                    onClick={() => void copy(code)}
                />
            </figcaption>
            <pre dir="ltr" tabIndex={0} aria-label={t("chat.code.label", { language: name })}>
                {isOpen || !name || code.length > MAX_HIGHLIGHT ? (
                    <code>
                        {pieces(shown).map((piece, index) => (
                            <span key={index} class="piece">
                                {piece}
                            </span>
                        ))}
                    </code>
                ) : (
                    <HighlightedCode code={shown} language={name} />
                )}
            </pre>
        </figure>
    );
}

function HighlightedCode({ code, language }: { code: string; language: string }) {
    const element = useRef<HTMLElement>(null);
    const coloured = useSignal<DocumentFragment | null>(null);
    useEffect(() => {
        let isShown = true;
        loadHighlight().then(
            ({ highlight }) => {
                if (isShown) coloured.value = highlight(code, language);
            },
            () => {
                // The code stays as it is, without colours.
            },
        );
        return () => {
            isShown = false;
        };
    }, [code, language]);
    useLayoutEffect(() => {
        if (coloured.value) element.current?.replaceChildren(coloured.value);
    }, [coloured.value]);
    // The key keeps Preact from touching what the highlighter wrote.
    return coloured.value ? <code key="coloured" ref={element} /> : <code key="plain">{code}</code>;
}

const loadHighlight = later(() => import("./highlight"));

/** Characters of the name of a language. */
const MAX_NAME = 40;
