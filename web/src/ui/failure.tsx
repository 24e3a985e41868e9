/** What is shown instead of a part of the page that cannot be shown. */

import { Component, type ComponentChildren } from "preact";

import { t } from "../i18n";
import { Button } from "./button";

export function Failure({
    text,
    detail,
    onRetry,
    children,
}: {
    text: string;
    /** The words of the browser. */
    detail?: string;
    onRetry: () => void;
    /** Further buttons. */
    children?: ComponentChildren;
}) {
    return (
        <div class="waiting" role="alert">
            <p>{text}</p>
            {detail && (
                <p class="detail" lang="en" dir="auto">
                    {detail}
                </p>
            )}
            <div class="part-actions">
                <Button icon="retry" onClick={onRetry}>
                    {t("part.retry")}
                </Button>
                {children}
            </div>
        </div>
    );
}

/** Shows a failure instead of its children if they cannot be rendered. */
export class Boundary extends Component<{ children: ComponentChildren }, { error: Error | null }> {
    override state: { error: Error | null } = { error: null };

    static override getDerivedStateFromError(error: Error): { error: Error } {
        return { error };
    }

    override render() {
        const { error } = this.state;
        if (error === null) return this.props.children;
        return (
            <Failure
                text={t("part.broken")}
                detail={error.message}
                onRetry={() => this.setState({ error: null })}
            />
        );
    }
}
