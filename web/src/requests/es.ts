import type { requestsEn } from "./en";

export const requestsEs: Record<keyof typeof requestsEn, string> = {};
