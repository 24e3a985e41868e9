/** What the values of a GPU mean. */

import { t, type TextKey } from "../i18n";
import type { Gpu } from "../protocol";
import type { BarPart } from "./stacked-bar";

/** Bytes of a megabyte in metrics frames. */
export const MB = 1024 * 1024;

/**
 * How the VRAM of a GPU is divided; the parts add up to its size. `null` if the driver does not tell.
 * `reserve` is what the server leaves free, in bytes.
 */
export function vramParts(gpu: Gpu, reserve: number): BarPart[] | null {
    if (gpu.vram_total_mb === null || gpu.vram_free_mb === null) return null;
    const total = gpu.vram_total_mb * MB;
    const free = Math.min(total, gpu.vram_free_mb * MB);
    const process = Math.min(total - free, (gpu.process_vram_mb ?? 0) * MB);
    const reserved = Math.min(free, reserve);
    return [
        { name: "process", label: t("gpu.vram.process"), value: process },
        { name: "others", label: t("gpu.vram.others"), value: total - free - process },
        { name: "free", label: t("gpu.vram.free"), value: free - reserved },
        { name: "reserve", label: t("gpu.vram.reserve"), value: reserved },
    ];
}

/** Why the clocks are lower than they could be, in words. */
export function throttleWords(reasons: string[] | null): string[] {
    return (reasons ?? []).map((reason) => {
        const key = THROTTLE[reason];
        return key ? t(key) : reason.replaceAll("_", " ");
    });
}

const THROTTLE: Record<string, TextKey> = {
    power_cap: "gpu.throttle.power-cap",
    software_thermal: "gpu.throttle.software-thermal",
    hardware_thermal: "gpu.throttle.hardware-thermal",
    power_brake: "gpu.throttle.power-brake",
    hardware: "gpu.throttle.hardware",
};
