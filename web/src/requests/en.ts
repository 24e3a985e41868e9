export const requestsEn = {};
