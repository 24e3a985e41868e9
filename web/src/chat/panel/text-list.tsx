import { useState } from "preact/hooks";

import { t } from "../../i18n";
import { Button, IconButton } from "../../ui/button";
import { Field } from "../../ui/field";
import { byteLength, escaped, unescaped } from "./escapes";

/** A list of short texts, with line breaks and tabs written as `\n` and `\t`. */
export function TextList({
    label,
    help,
    texts,
    limit,
    onChange,
}: {
    label: string;
    help: string;
    texts: readonly string[];
    /** Most texts, and most bytes of each. */
    limit: { texts: number; bytes: number };
    onChange: (texts: string[]) => void;
}) {
    const [line, setLine] = useState("");
    const text = unescaped(line);
    const error = errorOf(text, texts, limit);
    const add = () => {
        if (error || text === "") return;
        onChange([...texts, text]);
        setLine("");
    };
    return (
        <>
            <Field label={label} help={help} error={error}>
                {(attributes) => (
                    <div class="entry-row">
                        <input
                            {...attributes}
                            class="code-field"
                            autocomplete="off"
                            spellcheck={false}
                            dir="auto"
                            value={line}
                            onInput={(event) => setLine(event.currentTarget.value)}
                            onKeyDown={(event) => {
                                if (event.key !== "Enter" || event.isComposing) return;
                                event.preventDefault();
                                add();
                            }}
                        />
                        <Button disabled={text === "" || error !== null} onClick={add}>
                            {t("list.add")}
                        </Button>
                    </div>
                )}
            </Field>
            {texts.length > 0 && (
                <ul class="entries" aria-label={label}>
                    {texts.map((text) => (
                        <li key={text}>
                            <code dir="auto">{escaped(text)}</code>
                            <IconButton
                                icon="close"
                                label={t("list.remove", { text: escaped(text) })}
                                onClick={() => onChange(texts.filter((other) => other !== text))}
                            />
                        </li>
                    ))}
                </ul>
            )}
        </>
    );
}

function errorOf(
    text: string,
    texts: readonly string[],
    limit: { texts: number; bytes: number },
): string | null {
    if (text === "") return null;
    if (texts.includes(text)) return t("list.twice");
    if (texts.length >= limit.texts) return t("list.full", { n: limit.texts });
    return byteLength(text) > limit.bytes ? t("list.too-long", { n: limit.bytes }) : null;
}
