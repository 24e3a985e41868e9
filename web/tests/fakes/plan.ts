/** A memory plan for two GPUs. */

import type { Plan } from "../../src/dashboard/plan";

const GIB = 1024 ** 3;

export function plan(changes: Partial<Plan> = {}): Plan {
    return {
        model: "Qwen3 30B A3B Instruct",
        ctx_size: 32_768,
        parallel: 8,
        kv_tokens: 262_144,
        kv_type: "f16",
        cache_ram_bytes: 8 * GIB,
        vram_reserve_bytes: 0.5 * GIB,
        gpu_layers: 49,
        n_layers: 49,
        why: "everything fits",
        fits: true,
        advice: [],
        warnings: [],
        places: [
            place("GPU 0", { layers: 27, weights: 9, kv: 6, compute: 0.5, context: 0.4 }, 23),
            place("GPU 1", { layers: 22, weights: 7.5, kv: 5, compute: 0.5, context: 0.4 }, 15.5),
            place("cpu", { layers: 0, weights: 0.25, kv: 0, compute: 0.1, context: 0 }, null),
        ],
        draft: null,
        ...changes,
    };
}

/** A place with sizes in GiB. */
function place(
    name: string,
    sizes: { layers: number; weights: number; kv: number; compute: number; context: number },
    budget: number | null,
): Plan["places"][number] {
    const { layers, weights, kv, compute, context } = sizes;
    return {
        name,
        layers,
        weights: weights * GIB,
        kv: kv * GIB,
        compute: compute * GIB,
        context: context * GIB,
        total: (weights + kv + compute + context) * GIB,
        budget: budget === null ? null : budget * GIB,
    };
}
