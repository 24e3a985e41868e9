/** What of a model's Markdown is taken apart. Beyond, it is shown as plain text. */

/** Characters of a block, such as a list or a code block. */
export const MAX_BLOCK = 64 * 1024;

/** Characters of a paragraph, or another text with emphasis and links. */
export const MAX_INLINE = 8 * 1024;

/** Quotes, lists, emphases and links within each other. */
export const MAX_DEPTH = 12;

/** Characters of an emphasis or a link. */
export const MAX_SPAN = 2 * 1024;

/** Emphases and links of a block that begin and do not end: each is looked for in vain. */
export const MAX_UNENDED = 100;

/** Cells of a table. */
export const MAX_CELLS = 5000;

/** Characters of a code block that is coloured. */
export const MAX_HIGHLIGHT = 32 * 1024;

/** Characters that are laid out as one piece of plain text. */
export const PLAIN_PIECE = 8 * 1024;
