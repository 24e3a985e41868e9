/** Amounts with their units, as the language of the page writes numbers. */

import { number } from ".";

/** Bytes in the largest unit that leaves a number of at least one: `1.5 GiB`. */
export function bytes(value: number): string {
    let amount = value;
    let unit = 0;
    while (Math.abs(amount) >= 1024 && unit < BYTE_UNITS.length - 1) {
        amount /= 1024;
        unit += 1;
    }
    const digits = unit < GIB || Math.abs(amount) >= 100 ? 0 : 1;
    return `${number(amount, digits)} ${BYTE_UNITS[unit]}`;
}

/** A time span in milliseconds with at most two units: `340 ms`, `1.2 s`, `3 min 5 s`. */
export function duration(milliseconds: number): string {
    if (milliseconds < 1000) return `${number(milliseconds, 0)} ms`;
    if (milliseconds < 10_000) return `${number(milliseconds / 1000)} s`;
    let rest = Math.round(milliseconds / 1000);
    const parts: string[] = [];
    for (const [name, seconds] of TIME_UNITS) {
        const amount = Math.floor(rest / seconds);
        rest -= amount * seconds;
        if (amount > 0) parts.push(`${number(amount, 0)} ${name}`);
        else if (parts.length > 0) break;
        if (parts.length === 2) break;
    }
    return parts.join(" ");
}

/** A share from 0 to 1 in percent. */
export function percent(share: number): string {
    return `${number(share * 100, 0)} %`;
}

/** A difference, with its sign: `+1.5 GiB`, `−200 MiB`, `±0 B`. */
export function difference(value: number, format: (magnitude: number) => string): string {
    const sign = value > 0 ? "+" : value < 0 ? "−" : "±";
    return sign + format(Math.abs(value));
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
/** The first unit that is shown with a digit after the point. */
const GIB = 3;

const TIME_UNITS: [string, number][] = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
];
