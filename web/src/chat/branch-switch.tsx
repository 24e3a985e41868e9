/** Switches between the branches of a conversation that begin at the same place. */

import { t } from "../i18n";
import { IconButton } from "../ui/button";
import { store } from "./state";
import { show } from "./tree";

/** A message among those beside it. */
export interface Place {
    before: string | null;
    after: string | null;
    /** From 1. */
    position: number;
    count: number;
}

export function placeOf(id: string, beside: string[]): Place {
    const at = beside.indexOf(id);
    return {
        before: beside[at - 1] ?? null,
        after: beside[at + 1] ?? null,
        position: at + 1,
        count: beside.length,
    };
}

export function BranchSwitch({ conversation, place }: { conversation: string; place: Place }) {
    if (place.count < 2) return null;
    const go = (id: string | null) => {
        if (id !== null) store.update(conversation, (before) => show(before, id));
    };
    return (
        <span class="branch-switch" role="group" aria-label={t("chat.branches")}>
            <IconButton
                icon="left"
                label={t("chat.branch.before")}
                disabled={place.before === null}
                onClick={() => go(place.before)}
            />
            <span>{t("chat.branch.place", { position: place.position, count: place.count })}</span>
            <IconButton
                icon="right"
                label={t("chat.branch.after")}
                disabled={place.after === null}
                onClick={() => go(place.after)}
            />
        </span>
    );
}
