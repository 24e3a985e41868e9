/**
 * The languages of the page. Each part of the page has its texts in `en` and `es` beside it, and
 * the compiler checks that no text is missing in either.
 */

import { computed, signal } from "@preact/signals";

import { stored } from "../storage";
import { en } from "./en";
import { es } from "./es";

export type Language = "en" | "es";
export type TextKey = keyof typeof en;
/** All texts in one language. */
export type Texts = Record<TextKey, string>;

const languages: Record<Language, Texts> = { en, es };

/** The language that was chosen; `null` is that of the browser. */
export const chosenLanguage = stored<Language | null>("language", null);

const browserLanguage = signal<Language>(
    navigator.languages
        .map((tag) => tag.slice(0, 2))
        .find((tag) => tag === "en" || tag === "es") === "es"
        ? "es"
        : "en",
);

/** The language of the page. */
export const language = computed<Language>(() => chosenLanguage.value ?? browserLanguage.value);

/**
 * The text `key` in the language of the page, with `{name}` replaced by the values. Numbers are
 * written as the language writes them.
 */
export function t(key: TextKey, values: Record<string, string | number> = {}): string {
    return languages[language.value][key].replace(/\{(\w+)\}/g, (whole, name: string) => {
        const value = values[name];
        if (value === undefined) return whole;
        return typeof value === "number" ? number(value) : value;
    });
}

/** A number as the language of the page writes it, with at most `digits` after the point. */
export function number(value: number, digits = 1): string {
    return new Intl.NumberFormat(language.value, { maximumFractionDigits: digits }).format(value);
}

/**
 * A time of day. All times have 24 hours and the same width in every language: they stand below each
 * other in tables, and side by side on axes.
 */
export function clock(milliseconds: number, hasSeconds = true): string {
    return new Intl.DateTimeFormat(language.value, {
        hourCycle: "h23",
        hour: "2-digit",
        minute: "2-digit",
        ...(hasSeconds ? { second: "2-digit" } : {}),
    }).format(milliseconds);
}
