/** The dashes of a chart's lines: they differ by more than their colour. */
export const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
