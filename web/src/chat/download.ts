/** Gives the user a file with `text`. */
export function download(name: string, type: string, text: string): void {
    const address = URL.createObjectURL(new Blob([text], { type }));
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), REVOKE_MS);
}

/** The name of a file for `title`, without the characters that file systems refuse. */
export function fileName(title: string, extension: string): string {
    const name = title.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "");
    return `${name.slice(0, MAX_NAME) || "chat"}.${extension}`;
}

/** How long the browser has to read a file. */
const REVOKE_MS = 60_000;

const MAX_NAME = 60;
