import type { chatEn } from "./en";

export const chatEs: Record<keyof typeof chatEn, string> = {};
