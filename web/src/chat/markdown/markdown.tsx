/** Shows the Markdown of a model, also while it grows: only what has changed is rendered again. */

import { memo } from "preact/compat";
import { useRef } from "preact/hooks";

import { lex } from "./lexer";
import { blocks } from "./nodes";
import { PlainText } from "./plain";
import { Splitter, type Block } from "./splitter";

/** `isOpen`: whether the text still grows. */
export function Markdown({ text, isOpen = false }: { text: string; isOpen?: boolean }) {
    const { closed, open } = useBlocks(text);
    const groups = [];
    for (let from = 0; from < closed.length || from === 0; from += GROUP) {
        const isLast = from + GROUP >= closed.length;
        groups.push(
            <Group
                key={from}
                closed={closed}
                from={from}
                to={Math.min(from + GROUP, closed.length)}
                open={isLast ? open : NONE}
                isOpen={isOpen}
            />,
        );
    }
    return <div class="markdown">{groups}</div>;
}

/** The blocks of a text that usually is the one of the call before, and more. */
function useBlocks(text: string): { closed: readonly Block[]; open: Block[] } {
    const state = useRef({ splitter: new Splitter(), text: "" });
    if (!text.startsWith(state.current.text)) {
        state.current = { splitter: new Splitter(), text: "" };
    }
    state.current.splitter.push(text.slice(state.current.text.length));
    state.current.text = text;
    return state.current.splitter;
}

interface GroupProps {
    closed: readonly Block[];
    from: number;
    to: number;
    open: readonly Block[];
    isOpen: boolean;
}

/** Blocks that are skipped together if none of them has changed. */
const Group = memo(
    ({ closed, from, to, open, isOpen }: GroupProps) => (
        <div class="group">
            {[...closed.slice(from, to), ...open].map((block, index) => (
                <MarkdownBlock
                    key={index}
                    {...block}
                    isOpen={isOpen && index === to - from + open.length - 1}
                />
            ))}
        </div>
    ),
    (before, after) =>
        before.closed === after.closed &&
        before.to === after.to &&
        before.open.length === 0 &&
        after.open.length === 0,
);

const MarkdownBlock = memo(({ kind, text, isOpen }: Block & { isOpen: boolean }) =>
    kind === "plain" ? <PlainText text={text} /> : <>{blocks(lex(text), isOpen)}</>,
);

/** How many blocks are skipped together. */
const GROUP = 64;

const NONE: readonly Block[] = [];
