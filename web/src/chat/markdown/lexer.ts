/** Marked's lexer, with bounds on what a hostile text makes it do. */

import { Lexer, Tokenizer, type MarkedOptions, type Token, type Tokens } from "marked";

import { MAX_CELLS, MAX_DEPTH, MAX_INLINE, MAX_SPAN, MAX_UNENDED } from "./limits";

/** The blocks of `text`, with their texts taken apart. */
export function lex(text: string): Token[] {
    return new BoundedLexer(options()).lex(text);
}

/** The blocks of `text` alone. */
export function lexBlocks(text: string): Token[] {
    return new BoundedLexer(options()).blockTokens(text);
}

/** A tokenizer belongs to one lexer. */
function options(): MarkedOptions {
    return { gfm: true, breaks: true, tokenizer: new BoundedTokenizer() };
}

class BoundedLexer extends Lexer {
    override inlineTokens(src: string, tokens: Token[] = []): Token[] {
        if (src.length <= MAX_INLINE) return super.inlineTokens(src, tokens);
        tokens.push({ type: "text", raw: src, text: src });
        return tokens;
    }
}

class BoundedTokenizer extends Tokenizer {
    #depth = 0;
    #unended = 0;

    override blockquote(src: string): Tokens.Blockquote | undefined {
        return this.#deeper(() => super.blockquote(src));
    }

    override list(src: string): Tokens.List | undefined {
        return this.#deeper(() => super.list(src));
    }

    override emStrong(src: string, masked: string, before?: string) {
        if (!beginsEmphasis(src, before)) return undefined;
        const end = masked.slice(-src.length).slice(0, MAX_SPAN);
        return this.#span(() => super.emStrong(src.slice(0, MAX_SPAN), end, before));
    }

    override del(src: string): Tokens.Del | undefined {
        return this.#deeper(() => super.del(src));
    }

    override link(src: string): Tokens.Link | Tokens.Image | undefined {
        const text = src.slice(0, MAX_SPAN);
        return /^!?\[[^]*?\]\(/.test(text) ? this.#span(() => super.link(text)) : undefined;
    }

    override table(src: string): Tokens.Table | undefined {
        const text = this.rules.block.table.exec(src)?.[0] ?? "";
        const [header = "", ...rows] = text.trimEnd().split("\n");
        const columns = header.split("|").length;
        return columns * rows.length > MAX_CELLS ? undefined : super.table(src);
    }

    /** Blocks are rendered one by one, so that a definition would only disappear. */
    override def(): undefined {
        return undefined;
    }

    /** Parses an emphasis or a link that begins, unless too many have not ended. */
    #span<T>(parse: () => T | undefined): T | undefined {
        if (this.#unended >= MAX_UNENDED) return undefined;
        const found = this.#deeper(parse);
        if (found === undefined) this.#unended += 1;
        return found;
    }

    #deeper<T>(parse: () => T | undefined): T | undefined {
        if (this.#depth >= MAX_DEPTH) return undefined;
        this.#depth += 1;
        try {
            return parse();
        } finally {
            this.#depth -= 1;
        }
    }
}

/** Whether a mark of emphasis stands where one may begin, which words with `_` have not. */
function beginsEmphasis(src: string, before = ""): boolean {
    if (src.startsWith("*")) return /^\*+[^\s*]/.test(src);
    return /^_+[^\s_]/.test(src) && !/[\p{L}\p{N}]$/u.test(before);
}
