/** A block of HTML in a model's Markdown. */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { MAX_INLINE } from "./limits";
import { PlainText } from "./plain";

/** Shows the HTML if it only divides and marks text; otherwise as it was written. */
export function HtmlBlock({ html, isOpen }: { html: string; isOpen: boolean }) {
    const element = useRef<HTMLDivElement>(null);
    const clean = useSignal<DocumentFragment | null>(null);
    useEffect(() => {
        let isShown = true;
        clean.value = null;
        if (isOpen || html.length > MAX_INLINE) return;
        void import("./sanitize").then(({ sanitizedHtml }) => {
            if (isShown) clean.value = sanitizedHtml(html);
        });
        return () => {
            isShown = false;
        };
    }, [html, isOpen]);
    useLayoutEffect(() => {
        if (clean.value) element.current?.replaceChildren(clean.value);
    }, [clean.value]);
    if (!clean.value) return <PlainText text={html} />;
    return <div key="clean" class="html" dir="auto" ref={element} />;
}
