import { memo } from "preact/compat";
import { useId, useState } from "preact/hooks";

import { number, t } from "../i18n";
import type { Logprob, TokenLogprob } from "../protocol";
import { IconButton } from "../ui/button";
import { probability, tokenName, tokenParts } from "./token-text";
import "../styles/probabilities.css";

/**
 * The tokens of an answer, coloured and underlined by their probabilities. The token under the
 * mouse or the keyboard shows its rivals.
 */
export function Probabilities({ logprobs }: { logprobs: Logprob[] }) {
    const [index, setIndex] = useState(0);
    const id = useId();
    const total = logprobs.length;
    const selected = Math.min(index, total - 1);
    const token = logprobs[selected];
    if (!token) return null;
    const from = selected - (selected % PAGE);
    const page = logprobs.slice(from, from + PAGE);
    const move = (event: KeyboardEvent) => {
        const to = destination(event.key, selected, total);
        if (to === null) return;
        event.preventDefault();
        event.stopPropagation();
        setIndex(to);
        requestAnimationFrame(() =>
            document.getElementById(`${id}-${to}`)?.scrollIntoView({ block: "nearest" }),
        );
    };
    return (
        <section class="probabilities" aria-label={t("prob.title")}>
            <Legend />
            <div
                class="tokens"
                dir="auto"
                role="listbox"
                tabIndex={0}
                aria-label={t("prob.title")}
                aria-description={t("prob.help")}
                aria-orientation="horizontal"
                aria-activedescendant={`${id}-${selected}`}
                onKeyDown={move}
            >
                {page.map((token, offset) => (
                    <Token
                        key={from + offset}
                        id={`${id}-${from + offset}`}
                        token={token}
                        isSelected={from + offset === selected}
                        describedBy={`${id}-rivals`}
                        select={setIndex}
                        index={from + offset}
                    />
                ))}
            </div>
            {total > PAGE && (
                <Pager
                    from={from}
                    to={from + page.length}
                    total={total}
                    onChange={(index) => setIndex(index)}
                />
            )}
            <Rivals id={`${id}-rivals`} token={token} place={selected + 1} total={total} />
            <p class="probabilities-summary">
                {t("prob.summary", { n: total, percent: percent(meanProbability(logprobs)) })}
            </p>
        </section>
    );
}

/** How likely a token was, from 1 to 5. */
export function levelOf(token: TokenLogprob): Level {
    const p = probability(token);
    return LEVELS.find(({ from }) => p >= from)?.level ?? 1;
}

/** The token to go to from `index` with `key`, or `null` if the key goes nowhere. */
export function destination(key: string, index: number, total: number): number | null {
    const steps: Record<string, number> = {
        ArrowRight: 1,
        ArrowDown: 1,
        ArrowLeft: -1,
        ArrowUp: -1,
        PageDown: PAGE,
        PageUp: -PAGE,
        End: total,
        Home: -total,
    };
    const step = Object.hasOwn(steps, key) ? steps[key] : undefined;
    return step === undefined ? null : Math.max(0, Math.min(total - 1, index + step));
}

type Level = 1 | 2 | 3 | 4 | 5;

function Legend() {
    return (
        <div class="probabilities-legend">
            <span>{t("prob.legend")}</span>
            <ul>
                {LEVELS.map(({ level }) => (
                    <li key={level}>
                        <span class={`token level-${level}`}>{t(`prob.level.${level}`)}</span>
                    </li>
                ))}
            </ul>
        </div>
    );
}

/** One token. It is drawn again only if something about it changes: an answer can have thousands. */
const Token = memo(function Token({
    id,
    index,
    token,
    isSelected,
    describedBy,
    select,
}: {
    id: string;
    index: number;
    token: Logprob;
    isSelected: boolean;
    describedBy: string;
    select: (index: number) => void;
}) {
    const [first, ...others] = tokenParts(token, false);
    // A space before the box disappears at the end of a line; one within it would be a stump.
    const space = first && !first.isMark && first.text.startsWith(" ") ? " " : "";
    const parts = first ? [{ ...first, text: first.text.slice(space.length) }, ...others] : [];
    return (
        <>
            {space}
            <span
                id={id}
                class={`token level-${levelOf(token)}`}
                role="option"
                aria-selected={isSelected}
                aria-label={t("prob.token", {
                    token: tokenName(token) || t("prob.empty"),
                    percent: percent(probability(token)),
                })}
                aria-describedby={isSelected ? describedBy : undefined}
                onPointerEnter={() => select(index)}
                onClick={() => select(index)}
            >
                {parts.length === 0 && <span class="token-mark">∅</span>}
                {parts.map(({ text, isMark }, part) =>
                    isMark ? (
                        <span key={part} class="token-mark">
                            {text}
                        </span>
                    ) : (
                        text
                    ),
                )}
            </span>
            {parts.some(({ endsLine }) => endsLine) && <br />}
        </>
    );
});

function Pager({
    from,
    to,
    total,
    onChange,
}: {
    from: number;
    to: number;
    total: number;
    onChange: (index: number) => void;
}) {
    return (
        <div class="probabilities-pager">
            <IconButton
                icon="left"
                label={t("prob.before")}
                disabled={from === 0}
                onClick={() => onChange(from - PAGE)}
            />
            <span>{t("prob.page", { from: from + 1, to, total })}</span>
            <IconButton
                icon="right"
                label={t("prob.after")}
                disabled={to === total}
                onClick={() => onChange(to)}
            />
        </div>
    );
}

function Rivals({
    id,
    token,
    place,
    total,
}: {
    id: string;
    token: Logprob;
    place: number;
    total: number;
}) {
    const isAmongThem = token.top.some((rival) => rival.id === token.id);
    const rows: TokenLogprob[] = isAmongThem ? token.top : [...token.top, token];
    return (
        <div id={id} class="rivals">
            <p class="rivals-place">
                {t("prob.place", { n: place, total })} · {t("prob.id", { id: String(token.id) })}
            </p>
            <ol>
                {rows.map((rival) => (
                    <Rival key={rival.id} rival={rival} isChosen={rival.id === token.id} />
                ))}
            </ol>
            {!isAmongThem && <p class="rivals-place">{t("prob.outside")}</p>}
        </div>
    );
}

function Rival({ rival, isChosen }: { rival: TokenLogprob; isChosen: boolean }) {
    const p = probability(rival);
    return (
        <li class={isChosen ? "rival is-chosen" : "rival"}>
            <code class="rival-name" dir="auto">
                {tokenName(rival) || `(${t("prob.empty")})`}
            </code>
            <span class="rival-bar" aria-hidden="true">
                <span style={{ width: `${Math.max(0.5, p * 100)}%` }} />
            </span>
            <span class="rival-percent">{percent(p)}</span>
            {isChosen && <span class="rival-chosen">{t("prob.chosen")}</span>}
        </li>
    );
}

/** The geometric mean of the probabilities. */
export function meanProbability(logprobs: readonly TokenLogprob[]): number {
    const sum = logprobs.reduce((sum, { logprob }) => sum + logprob, 0);
    return Math.exp(sum / logprobs.length);
}

/** A probability as a percentage, with more digits where it is small. */
function percent(p: number): string {
    const value = p * 100;
    if (value > 0 && value < 0.01) return `< ${number(0.01, 2)} %`;
    const digits = value < 1 ? 2 : value < 99.95 ? 1 : 0;
    return `${number(value, digits)} %`;
}

/** The least probability of each level. */
const LEVELS: readonly { level: Level; from: number }[] = [
    { level: 5, from: 0.9 },
    { level: 4, from: 0.6 },
    { level: 3, from: 0.3 },
    { level: 2, from: 0.1 },
    { level: 1, from: 0 },
];

/** Tokens that are shown at once. */
export const PAGE = 500;
