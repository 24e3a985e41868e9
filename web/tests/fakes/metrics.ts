/** Metrics frames as a server with two GPUs sends them. */

import type { Gpu, Hello, Inference, Metrics } from "../../src/protocol";

export const hello: Hello = {
    op: "hello",
    protocol: 1,
    server: "inference-core 0.1.0",
    build: { version: "0.1.0", commit: "a1b0aea2ccd5", llama_cpp: "0.6.0-dev", cpu_flags: "AVX2" },
    model: {
        name: "Qwen3 30B A3B Instruct",
        arch: "qwen3moe",
        params: 30_532_122_624,
        size_bytes: 18_556_686_912,
        n_ctx_train: 262_144,
        chat: true,
        demo: false,
    },
    ctx_size: 32_768,
    parallel: 8,
    backend: "cuda",
    gpu_layers: 48,
    n_layers: 48,
    auth: "ok",
};

export function inference(changes: Partial<Inference> = {}): Inference {
    return {
        state: "busy",
        last_tps: 61.25,
        last_ttft_ms: 240,
        total_tokens_generated: 1_204_331,
        prompt_tokens_total: 5_340_112,
        active: 5,
        queued: 2,
        slots: 8,
        kv_used_tokens: 91_000,
        kv_total_tokens: 262_144,
        connections: 12,
        tps_now: 312.5,
        uptime_s: 187_205,
        suspended: 0,
        kv_running_tokens: 23_400,
        cached_tokens_total: 3_100_220,
        drafted_tokens_total: 220_000,
        accepted_tokens_total: 171_600,
        steps_total: 402_118,
        step_phases_ms: { schedule: 9_100, draft: 22_000, decode: 812_000, commit: 31_000 },
        restarts: 1,
        ...changes,
    };
}

export function gpu(changes: Partial<Gpu> = {}): Gpu {
    return {
        index: 0,
        name: "NVIDIA GeForce RTX 4090",
        uuid: "GPU-4f0e",
        present: true,
        in_use: true,
        temp: 65,
        vram_total_mb: 24_564,
        vram_used_mb: 15_000,
        vram_free_mb: 9_564,
        process_vram_mb: 13_500,
        power_watts: 310,
        fan_percent: 55,
        utilization_percent: 93,
        throttling: false,
        throttle_reasons: [],
        ...changes,
    };
}

export function metrics(timestamp: number, changes: Partial<Metrics> = {}): Metrics {
    const gpus = changes.gpus ?? [];
    return {
        op: "metrics",
        timestamp,
        gpu: gpus[0] ?? null,
        gpus,
        inference: inference(),
        ...changes,
    };
}
