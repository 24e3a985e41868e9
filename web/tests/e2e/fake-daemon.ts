/** A server in the test itself that is busy with two GPUs: the same values at each run. */

import type { Page, WebSocketRoute } from "@playwright/test";

import type { EndFrame, Inference, Metrics } from "../../src/protocol";
import { gpu, hello, inference, metrics } from "../fakes/metrics";
import { plan } from "../fakes/plan";
import { finished, running } from "../fakes/requests";

/** The time at which the page is shown. */
export const NOW = new Date("2026-09-21T14:30:00Z");

export interface FakeOptions {
    /** The answer to each question. */
    answer?: string;
    /** What the last frame has instead of the usual values. */
    latest?: Partial<Inference>;
}

export interface FakeDaemon {
    /** Closes the connection, and accepts no other one. */
    lose(): Promise<void>;
}

/** Stands for the server of `page`, whose clock stands still at {@link NOW}. */
export async function fakeDaemon(
    page: Page,
    { answer = "", latest = {} }: FakeOptions = {},
): Promise<FakeDaemon> {
    const sockets: WebSocketRoute[] = [];
    let isLost = false;
    await page.clock.setFixedTime(NOW);
    await page.route(/\/requests$/, (route) => route.fulfill({ json: REQUESTS }));
    await page.route(/\/plan(?:\?.*)?$/, (route) => route.fulfill({ json: plan() }));
    await page.routeWebSocket(/./, (socket) => {
        if (isLost) return void socket.close();
        sockets.push(socket);
        send(socket, hello);
        for (const frame of history(latest)) send(socket, frame);
        socket.onMessage((data) => {
            const { op, id } = JSON.parse(String(data)) as { op: string; id: string };
            if (op === "ping") send(socket, { op: "pong" });
            if (op !== "infer") return;
            send(socket, { op: "token", id, content: answer });
            send(socket, { op: "end", id, ...END });
        });
    });
    return {
        async lose() {
            isLost = true;
            for (const socket of sockets) await socket.close();
        },
    };
}

/** Lets the clock go on by a second, by which the charts follow the frames that have come. */
export async function nextSecond(page: Page): Promise<void> {
    await page.clock.setFixedTime(NOW.getTime() + 1000);
}

function send(socket: WebSocketRoute, frame: object): void {
    socket.send(JSON.stringify(frame));
}

/** The metrics of the last 15 minutes: a load, busy hours, and a restart in between. */
function history(latest: Partial<Inference>): Metrics[] {
    const now = NOW.getTime() / 1000;
    return Array.from({ length: SAMPLES }, (_, i) => {
        const timestamp = now - (SAMPLES - 1 - i) * SAMPLE_SECONDS;
        const isRestart = i >= 200 && i < 212;
        const busy = isRestart ? 0 : 0.75 + 0.2 * Math.sin(i / 17) + 0.05 * Math.sin(i / 2.3);
        return metrics(timestamp, {
            gpus: [
                gpu({
                    temp: 48 + 20 * busy,
                    power_watts: 90 + 260 * busy,
                    utilization_percent: 97 * busy,
                }),
                gpu({
                    index: 1,
                    name: "NVIDIA GeForce RTX 3090",
                    uuid: "GPU-91c2",
                    temp: 60 + 27 * busy,
                    power_watts: 80 + 270 * busy,
                    utilization_percent: 99 * busy,
                    vram_used_mb: 15_900,
                    vram_free_mb: 8_664,
                    process_vram_mb: 13_400,
                    fan_percent: 88,
                    throttling: !isRestart,
                    throttle_reasons: isRestart ? [] : ["power_cap"],
                }),
            ],
            inference: inference({
                state: isRestart ? "restarting" : "busy",
                ...(isRestart ? { cause: "killed by the kernel: out of memory" } : {}),
                active: isRestart ? 0 : Math.round(2 + 6 * busy * busy),
                queued: Math.max(0, Math.round(6 * Math.sin(i / 40))),
                tps_now: 340 * busy,
                last_ttft_ms: 180 + 90 * Math.sin(i / 11) ** 2,
                step_phases_ms: {
                    schedule: 9 * i,
                    draft: 60 * i,
                    decode: 1_700 * i,
                    commit: 90 * i,
                },
                kv_used_tokens: Math.round(70_000 + 60 * i + 20_000 * busy),
                ...(i === SAMPLES - 1 ? latest : {}),
            }),
        });
    });
}

const SAMPLE_SECONDS = 2;
const SAMPLES = 450;

const END: Omit<EndFrame, "op" | "id"> = {
    finish_reason: "stop",
    stats: {
        ttft_ms: 84,
        total_ms: 3_120,
        tokens: 187,
        tps: 61.6,
        prompt_tokens: 412,
        cached_tokens: 380,
        queue_ms: 0,
        prompt_ms: 61,
        prompt_tps: 524,
        drafted: 40,
        accepted: 31,
    },
};

const REFUSED = {
    finish_reason: "error",
    error: "context_overflow",
    ttft_ms: null,
    duration_ms: 2,
    cached_tokens: null,
    completion_tokens: 0,
    tokens_per_second: null,
} as const;

const MODEL = { model: hello.model.name };
const REQUESTS = {
    running: [
        running({ id: "r-208", key: "editor", ...MODEL }),
        running({
            id: "r-207",
            key: "support-bot",
            surface: "chat",
            state: "prefill",
            client: "10.0.4.17:40112",
            age_ms: 640,
            prompt_tokens: 18_204,
            cached_tokens: 1_024,
            completion_tokens: 0,
            ...MODEL,
        }),
        running({
            id: "r-206",
            key: "support-bot",
            surface: "messages",
            state: "queued",
            client: "10.0.4.17:40120",
            age_ms: 210,
            prompt_tokens: null,
            cached_tokens: null,
            completion_tokens: 0,
            ...MODEL,
        }),
    ],
    finished: Array.from({ length: 9 }, (_, i) =>
        finished({
            id: `r-${205 - i}`,
            key: i % 3 === 0 ? "editor" : "support-bot",
            surface: (["chat", "native", "responses"] as const)[i % 3]!,
            client: `10.0.4.${17 + (i % 3)}:${40_100 + i}`,
            ended_at: NOW.getTime() / 1000 - 4 - 7 * i,
            ttft_ms: 80 + 13 * i,
            duration_ms: 900 + 410 * i,
            prompt_tokens: 300 + 97 * i,
            cached_tokens: 60 * i,
            completion_tokens: 50 + 21 * i,
            tokens_per_second: 61.5 - i,
            ...(i === 2 ? { finish_reason: "max_tokens" as const } : {}),
            ...(i === 5 ? { finish_reason: "aborted" as const } : {}),
            ...(i === 6 ? REFUSED : {}),
            ...MODEL,
        }),
    ),
};
