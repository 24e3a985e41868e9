/** Shows the Markdown of a model, also while it grows: only what has changed is rendered again. */

import type { Tokens } from "marked";
import { memo } from "preact/compat";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { lex, lexBlocks } from "./lexer";
import { blocks, List } from "./nodes";
import { PlainText } from "./plain";
import { Splitter, type Block } from "./splitter";

/** `isOpen`: whether the text still grows. */
export function Markdown({ text, isOpen = false }: { text: string; isOpen?: boolean }) {
    const shown = usePaced(text, isOpen);
    return useMemo(() => <Blocks text={shown} isOpen={isOpen} />, [shown, isOpen]);
}

/**
 * `text`, or an earlier state of it: rendering takes at most a part of the time, so that the page
 * stays quick however long a block gets.
 */
function usePaced(text: string, isOpen: boolean): string {
    const begin = performance.now();
    const pace = useRef({ text: "", next: 0 });
    const [, renderAgain] = useState(0);
    const mustWait = isOpen && begin < pace.current.next && text.startsWith(pace.current.text);
    if (!mustWait) pace.current.text = text;
    const shown = pace.current.text;
    useLayoutEffect(() => {
        const end = performance.now();
        pace.current.next = end + PAUSE * (end - begin);
    }, [shown]);
    useEffect(() => {
        if (!mustWait) return;
        const timer = setTimeout(() => renderAgain((n) => n + 1), pace.current.next - begin);
        return () => clearTimeout(timer);
    });
    return shown;
}

function Blocks({ text, isOpen }: { text: string; isOpen: boolean }) {
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
    kind === "plain" ? <PlainText text={text} /> : <>{blockOf(text, isOpen)}</>,
);

function blockOf(text: string, isOpen: boolean) {
    const tokens = lexBlocks(text);
    const list = tokens.length === 1 && tokens[0]?.type === "list" ? tokens[0] : null;
    if (!list) return blocks(lex(text), isOpen);
    // Only the items that have changed are taken apart.
    return <List list={list as Tokens.List} isOpen={isOpen} Content={Item} />;
}

const Item = memo(
    ({ item: { text }, isOpen }: { item: Tokens.ListItem; isOpen: boolean }) => (
        <>{blocks(lex(text), isOpen)}</>
    ),
    (before, after) => before.item.text === after.item.text && before.isOpen === after.isOpen,
);

/** How many blocks are skipped together. */
const GROUP = 64;

/** How many times as long as a rendering took the next one waits. */
const PAUSE = 3;

const NONE: readonly Block[] = [];
