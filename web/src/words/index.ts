/** What the server says in codes and in English, in the language of the page. */

import type { ConnectionState } from "../client";
import { language, t, type TextKey } from "../i18n";
import type { Right } from "../protocol";
import { wordsEn } from "./en";

/** An error of the server, by its code. */
export function errorWords(code: string): string {
    return t(known(`error.${code}`) ?? "error.unknown");
}

/** Why the connection was lost, as far as that means something to people. */
export function lostWords(state: ConnectionState): string | null {
    if (state.kind !== "lost") return null;
    const key = known(state.code === null ? "lost.silent" : `lost.${state.code}`);
    return key ? t(key) : null;
}

/** How the model's process ended. */
export function causeWords(cause: string): string {
    if (cause.startsWith("SIGKILL")) return t("cause.killed", { cause });
    if (cause.startsWith("SIG")) return t("cause.crashed", { cause });
    if (cause.startsWith("no progress")) return t("cause.stalled");
    if (cause.startsWith("too many steps")) return t("cause.failed-steps");
    return cause;
}

/** A warning at the end of an answer. */
export function warningWords(warning: string): string {
    return t(warning.startsWith(BROKEN_CALL) ? "warning.call" : "warning.ignored");
}

/** What a key allows. */
export function rightsWords(rights: Right[]): string {
    const list = new Intl.ListFormat(language.value, { type: "conjunction" });
    return list.format(rights.map((right) => t(`right.${right}`)));
}

/** What computes. */
export function backendWords(backend: string): string {
    const key = known(`backend.${backend}`);
    return key ? t(key) : backend;
}

/** `key` if there is a text of this name. */
function known(key: string): TextKey | null {
    return Object.hasOwn(wordsEn, key) ? (key as TextKey) : null;
}

/** How warnings about calls begin. */
const BROKEN_CALL = "a call of a tool could not be read";
