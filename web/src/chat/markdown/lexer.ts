/** Marked's lexer, with bounds on what a hostile text makes it do. */

import { Lexer, Tokenizer, type MarkedOptions, type Token, type Tokens } from "marked";

import { MAX_CELLS, MAX_DEPTH, MAX_INLINE } from "./limits";

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

    override blockquote(src: string): Tokens.Blockquote | undefined {
        return this.#deeper(() => super.blockquote(src));
    }

    override list(src: string): Tokens.List | undefined {
        return this.#deeper(() => super.list(src));
    }

    override emStrong(src: string, masked: string, before?: string) {
        return this.#deeper(() => super.emStrong(src, masked, before));
    }

    override del(src: string): Tokens.Del | undefined {
        return this.#deeper(() => super.del(src));
    }

    override link(src: string): Tokens.Link | Tokens.Image | undefined {
        return this.#deeper(() => super.link(src));
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
