/** A new id. `crypto.randomUUID` is missing where a page comes over plain HTTP. */
export function newId(): string {
    const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const ID_BYTES = 12;
