/**
 * Reads values of unknown origin. A reader takes what it knows and drops the rest, so that what it
 * returns has no member that its type does not have.
 */

/** Reads `value`, which is at `field`, or throws a {@link WrongField}. */
export type Reader<T> = (value: unknown, field: string) => T;

/** A field has a value of a wrong type. */
export class WrongField extends Error {
    constructor(readonly field: string) {
        super(`wrong value at ${field}`);
        this.name = "WrongField";
    }
}

export const text: Reader<string> = (value, field) =>
    typeof value === "string" ? value : fail(field);

export const flag: Reader<boolean> = (value, field) =>
    typeof value === "boolean" ? value : fail(field);

export const finite: Reader<number> = (value, field) =>
    typeof value === "number" && Number.isFinite(value) ? value : fail(field);

export function oneOf<const T extends string>(...values: readonly T[]): Reader<T> {
    return (value, field) => values.find((known) => known === value) ?? fail(field);
}

export function nullable<T>(read: Reader<T>): Reader<T | null> {
    return (value, field) => (value === null ? null : read(value, field));
}

export function list<T>(read: Reader<T>): Reader<T[]> {
    return (value, field) =>
        Array.isArray(value)
            ? value.map((item, index) => read(item, `${field}[${index}]`))
            : fail(field);
}

/** An object whose keys fit `keys`; other members are dropped. */
export function record<T>(keys: RegExp, read: Reader<T>): Reader<Record<string, T>> {
    return (value, field) =>
        Object.fromEntries(
            Object.entries(members(value, field))
                .filter(([key]) => keys.test(key))
                .map(([key, member]) => [key, read(member, `${field}.${key}`)]),
        );
}

type Shape = Record<string, Reader<unknown>>;
type Read<R> = R extends Reader<infer T> ? T : never;
type Result<R extends Shape, O extends Shape> = { [K in keyof R]: Read<R[K]> } & {
    [K in keyof O]?: Read<O[K]>;
};

/** An object with the members `required`, and perhaps those in `optional`. */
export function object<R extends Shape, O extends Shape = Record<never, never>>(
    required: R,
    optional?: O,
): Reader<Result<R, O>> {
    return (value, field) => {
        const given = members(value, field);
        const read = ([name, reader]: [string, Reader<unknown>]) =>
            [name, reader(given[name], field ? `${field}.${name}` : name)] as const;
        const isGiven = ([name]: [string, unknown]) =>
            Object.hasOwn(given, name) && given[name] !== undefined;
        return Object.fromEntries([
            ...Object.entries(required).map(read),
            ...Object.entries(optional ?? {})
                .filter(isGiven)
                .map(read),
        ]) as Result<R, O>;
    };
}

/** Any JSON, without members that would change the prototype of an object. */
export const json: Reader<unknown> = (value, field) => copyOf(value, field, MAX_DEPTH);

function copyOf(value: unknown, field: string, depth: number): unknown {
    if (depth === 0) return fail(field);
    if (Array.isArray(value)) return value.map((item) => copyOf(item, field, depth - 1));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
        Object.entries(value)
            .filter(([name]) => name !== "__proto__")
            .map(([name, member]) => [name, copyOf(member, field, depth - 1)]),
    );
}

function members(value: unknown, field: string): Record<string, unknown> {
    return typeof value === "object" && value !== null && !Array.isArray(value)
        ? (value as Record<string, unknown>)
        : fail(field);
}

function fail(field: string): never {
    throw new WrongField(field);
}

/** Levels of lists and objects that the server reads. */
const MAX_DEPTH = 127;
