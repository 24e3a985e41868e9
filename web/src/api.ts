/** The JSON routes of the daemon that the page reads, beside the WebSocket. */

import { base, key } from "./session";

/** Why a route gave no answer. */
export class ApiError extends Error {
    constructor(
        readonly status: number,
        message: string,
    ) {
        super(message);
        this.name = "ApiError";
    }
}

/** Reads `path`, relative to the page. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
    const response = await call("GET", path, signal);
    return (await response.json()) as T;
}

/** Deletes `path`, relative to the page. */
export async function remove(path: string): Promise<void> {
    await call("DELETE", path);
}

async function call(method: string, path: string, signal?: AbortSignal): Promise<Response> {
    const headers: HeadersInit = key.value ? { Authorization: `Bearer ${key.value}` } : {};
    const response = await fetch(new URL(path, base), { method, headers, signal: signal ?? null });
    if (!response.ok) throw new ApiError(response.status, await reason(response));
    return response;
}

/** The reason in a response: of an error in JSON, or in plain text. */
async function reason(response: Response): Promise<string> {
    const text = (await response.text()).trim();
    try {
        const { error } = JSON.parse(text) as { error?: { message?: string } };
        if (error?.message) return error.message;
    } catch {
        // It is plain text.
    }
    return text || `HTTP ${response.status}`;
}
