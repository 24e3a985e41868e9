/**
 * Shows the tokens of marked as elements. No text of a model becomes HTML here, so that only the
 * elements below can appear.
 */

import type { MarkedToken, Token, Tokens } from "marked";
import type { ComponentChildren, ComponentType, JSX } from "preact";

import { t } from "../../i18n";
import { CodeBlock } from "./code";
import { HtmlBlock } from "./html";
import { MAX_INLINE } from "./limits";
import { InertImage, InertLink } from "./link";
import { PlainText } from "./plain";
import { directionOf, withoutEntities, withVisibleControls } from "./text";

/** Elements for blocks. `isOpen`: whether the last block may still grow. */
export function blocks(tokens: Token[], isOpen = false): ComponentChildren {
    return tokens.map((token, index) => block(token, isOpen && index === tokens.length - 1));
}

function block(given: Token, isOpen: boolean): ComponentChildren {
    // Marked's `Token` has a member for extensions, which fits everything.
    const token = given as MarkedToken;
    switch (token.type) {
        case "space":
            return null;
        case "hr":
            return <hr />;
        case "heading":
            return <Heading level={token.depth}>{inline(token.tokens ?? [])}</Heading>;
        case "paragraph":
            if (token.text.length > MAX_INLINE) return <PlainText text={token.text} />;
            return <p dir="auto">{inline(token.tokens ?? [])}</p>;
        case "text":
            return <span dir="auto">{inline(token.tokens ?? [token])}</span>;
        case "blockquote":
            return (
                <blockquote dir={directionOf(token.text)}>
                    {blocks(token.tokens ?? [], isOpen)}
                </blockquote>
            );
        case "list":
            return <List list={token as Tokens.List} isOpen={isOpen} />;
        case "table":
            return <Table table={token as Tokens.Table} />;
        case "code":
            return <CodeBlock code={token.text} language={token.lang ?? ""} isOpen={isOpen} />;
        case "html":
            return <HtmlBlock html={token.text} isOpen={isOpen} />;
        default:
            return <p dir="auto">{token.raw}</p>;
    }
}

/** The page has headings of its own above those of an answer. */
function Heading({ level, children }: { level: number; children: ComponentChildren }) {
    const Tag = `h${Math.min(level + 2, 6)}` as "h3";
    return (
        <Tag class={`heading-${level}`} dir="auto">
            {children}
        </Tag>
    );
}

/** `Content` shows what is in an item. */
export function List({
    list,
    isOpen,
    Content = ItemContent,
}: {
    list: Tokens.List;
    isOpen: boolean;
    Content?: ComponentType<ItemProps>;
}) {
    const items = list.items.map((item, index) => (
        <li key={index} dir={directionOf(item.text)} class={item.task ? "task" : undefined}>
            {item.task && (
                <span
                    class="task-box"
                    role="img"
                    aria-label={t(item.checked ? "chat.task.done" : "chat.task.open")}
                >
                    {item.checked ? "☑" : "☐"}
                </span>
            )}
            <Content item={item} isOpen={isOpen && index === list.items.length - 1} />
        </li>
    ));
    const dir = directionOf(list.raw);
    if (!list.ordered) return <ul dir={dir}>{items}</ul>;
    return (
        <ol dir={dir} start={Number(list.start) || 0}>
            {items}
        </ol>
    );
}

interface ItemProps {
    item: Tokens.ListItem;
    isOpen: boolean;
}

function ItemContent({ item, isOpen }: ItemProps) {
    return <>{blocks(item.tokens, isOpen)}</>;
}

function Table({ table }: { table: Tokens.Table }) {
    const cell = (Tag: "th" | "td", { tokens, align }: Tokens.TableCell, index: number) => (
        <Tag key={index} dir="auto" class={align ? `align-${align}` : undefined}>
            {inline(tokens)}
        </Tag>
    );
    return (
        <div class="table" role="region" tabIndex={0} aria-label={t("chat.table")}>
            <table dir={directionOf(table.raw)}>
                <thead>
                    <tr>{table.header.map((header, index) => cell("th", header, index))}</tr>
                </thead>
                <tbody>
                    {table.rows.map((row, index) => (
                        <tr key={index}>{row.map((data, column) => cell("td", data, column))}</tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

/** Elements for the parts of a line. */
function inline(tokens: Token[]): ComponentChildren {
    const shown: ComponentChildren[] = [];
    for (let index = 0; index < tokens.length; index++) {
        const token = tokens[index] as MarkedToken;
        if (token.type !== "html") {
            shown.push(part(token));
            continue;
        }
        if (/^<br *\/?>$/i.test(token.raw)) {
            shown.push(<br />);
            continue;
        }
        const mark = /^<(\w+)>$/.exec(token.raw)?.[1]?.toLowerCase() as keyof typeof MARKS;
        const end = mark in MARKS ? endOfMark(tokens, index, mark) : -1;
        if (end < 0) {
            shown.push(token.raw);
        } else {
            const Mark = MARKS[mark];
            shown.push(<Mark>{inline(tokens.slice(index + 1, end))}</Mark>);
            index = end;
        }
    }
    return shown;
}

function part(token: MarkedToken): ComponentChildren {
    switch (token.type) {
        case "strong":
            return <strong>{inline(token.tokens ?? [])}</strong>;
        case "em":
            return <em>{inline(token.tokens ?? [])}</em>;
        case "del":
            return <del>{inline(token.tokens ?? [])}</del>;
        case "codespan":
            return <code dir="ltr">{withVisibleControls(token.text)}</code>;
        case "br":
            return <br />;
        case "link":
            return <InertLink address={token.href}>{inline(token.tokens ?? [])}</InertLink>;
        case "image":
            return <InertImage address={token.href} text={token.text} />;
        case "text":
            if ("tokens" in token && token.tokens) return inline(token.tokens);
            return withoutEntities(token.text);
        case "escape":
            return token.text;
        default:
            return token.raw;
    }
}

/** Where the element that begins at `from` ends; -1 if it does not. */
function endOfMark(tokens: Token[], from: number, mark: string): number {
    const until = Math.min(tokens.length, from + MAX_MARKED);
    for (let index = from + 1; index < until; index++) {
        const { type, raw } = tokens[index]!;
        if (type !== "html") continue;
        if (raw.toLowerCase() === `</${mark}>`) return index;
        // Elements within elements are rare, and would have to be bounded.
        if (/^<\w/.test(raw) && !/^<br *\/?>$/i.test(raw)) return -1;
    }
    return -1;
}

/** Elements that may be written as HTML within a line. */
const MARKS = {
    b: "b",
    strong: "strong",
    i: "i",
    em: "em",
    u: "u",
    s: "s",
    del: "del",
    ins: "ins",
    mark: "mark",
    small: "small",
    sub: "sub",
    sup: "sup",
    kbd: "kbd",
    code: "code",
} as const satisfies Record<string, keyof JSX.IntrinsicElements>;

/** Most parts of a line within an element of HTML. */
const MAX_MARKED = 100;
