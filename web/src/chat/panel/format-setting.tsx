import { useRef, useState } from "preact/hooks";

import { t } from "../../i18n";
import type { Format } from "../../protocol";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { byteLength } from "./escapes";
import { EXAMPLE_SCHEMAS } from "./examples";
import { useFault } from "./faults";
import { JsonEditor } from "./json-editor";
import { MAX_CHOICES } from "./parameters";
import { regexFault } from "./regex-check";
import { schemaIssues } from "./schema-check";
import { TextList } from "./text-list";

type Constraint = Exclude<Format, string>;
type Kind = Constraint["type"];
type OfKind<K extends Kind> = Extract<Constraint, { type: K }>;

const KINDS: readonly Kind[] = ["json", "json_schema", "regex", "choice", "grammar"];

/** What the answer has to be. */
export function FormatSetting({
    format,
    onChange,
}: {
    format: Format | null;
    onChange: (format: Format | null) => void;
}) {
    const constraint: Constraint | null = format === "json" ? { type: "json" } : format;
    // What each kind had last, for the way back from another one.
    const last = useRef<Partial<Record<Kind, Constraint>>>({});
    if (constraint) last.current[constraint.type] = constraint;
    const choose = (kind: Kind | "") =>
        onChange(kind === "" ? null : (last.current[kind] ?? INITIAL[kind]));
    return (
        <>
            <Field
                label={t("format.kind")}
                help={t(constraint ? `format.${constraint.type}.help` : "format.none.help")}
            >
                {(attributes) => (
                    <select
                        {...attributes}
                        value={constraint?.type ?? ""}
                        onChange={({ currentTarget }) => choose(currentTarget.value as Kind | "")}
                    >
                        <option value="">{t("format.none")}</option>
                        {KINDS.map((kind) => (
                            <option key={kind} value={kind}>
                                {t(`format.${kind}`)}
                            </option>
                        ))}
                    </select>
                )}
            </Field>
            {constraint && <ConstraintEditor constraint={constraint} onChange={onChange} />}
        </>
    );
}

function ConstraintEditor({
    constraint,
    onChange,
}: {
    constraint: Constraint;
    onChange: (constraint: Constraint) => void;
}) {
    switch (constraint.type) {
        case "json":
            return null;
        case "json_schema":
            return <SchemaEditor format={constraint} onChange={onChange} />;
        case "regex":
            return (
                <CheckedText
                    label={t("format.regex.field")}
                    text={constraint.pattern}
                    check={regexProblem}
                    onChange={(pattern) => onChange({ type: "regex", pattern })}
                />
            );
        case "choice":
            return (
                <TextList
                    label={t("format.choice.field")}
                    help={t("format.choice.field.help")}
                    texts={constraint.choices}
                    limit={{ texts: MAX_CHOICES, bytes: MAX_BYTES }}
                    onChange={(choices) =>
                        // Without a choice no answer is possible, so that the last one stays.
                        onChange({
                            type: "choice",
                            choices: choices.length > 0 ? choices : constraint.choices,
                        })
                    }
                />
            );
        case "grammar":
            return <GrammarEditor format={constraint} onChange={onChange} />;
    }
}

function SchemaEditor({
    format,
    onChange,
}: {
    format: OfKind<"json_schema">;
    onChange: (format: Constraint) => void;
}) {
    return (
        <>
            <div class="examples">
                <span>{t("format.examples")}</span>
                {EXAMPLE_SCHEMAS.map(({ label, schema }) => (
                    <Button key={label} onClick={() => onChange({ type: "json_schema", schema })}>
                        {t(label)}
                    </Button>
                ))}
            </div>
            <JsonEditor
                label={t("format.json_schema.field")}
                value={format.schema}
                problem={schemaProblem}
                onChange={(schema) => onChange({ type: "json_schema", schema })}
            />
        </>
    );
}

function GrammarEditor({
    format,
    onChange,
}: {
    format: OfKind<"grammar">;
    onChange: (format: Constraint) => void;
}) {
    return (
        <>
            <Field label={t("format.syntax")} help={t(`format.syntax.${format.syntax}`)}>
                {(attributes) => (
                    <select
                        {...attributes}
                        value={format.syntax}
                        onChange={({ currentTarget }) => {
                            const syntax = currentTarget.value === "gbnf" ? "gbnf" : "lark";
                            // An example of one notation is a fault in the other.
                            const isExample = format.grammar === GRAMMARS[format.syntax];
                            const grammar = isExample ? GRAMMARS[syntax] : format.grammar;
                            onChange({ type: "grammar", syntax, grammar });
                        }}
                    >
                        <option value="lark">Lark</option>
                        <option value="gbnf">GBNF</option>
                    </select>
                )}
            </Field>
            <CheckedText
                label={t("format.grammar.field")}
                text={format.grammar}
                check={sizeProblem}
                onChange={(grammar) => onChange({ ...format, grammar })}
            />
        </>
    );
}

/** A text in a monospaced field. A text that is wrong is told to nobody. */
function CheckedText({
    label,
    text,
    check,
    onChange,
}: {
    label: string;
    text: string;
    check: (text: string) => string | null;
    onChange: (text: string) => void;
}) {
    const [typed, setTyped] = useState<{ text: string; of: string } | null>(null);
    const shown = typed && typed.of === text ? typed.text : text;
    const change = (next: string) => {
        const isRight = check(next) === null;
        setTyped({ text: next, of: isRight ? next : text });
        if (isRight) onChange(next);
    };
    const error = check(shown);
    useFault(label, error);
    return (
        <Field label={label} error={error}>
            {(attributes) => (
                <textarea
                    {...attributes}
                    class="code-field"
                    rows={Math.min(MAX_ROWS, Math.max(2, shown.split("\n").length))}
                    spellcheck={false}
                    autocomplete="off"
                    value={shown}
                    onInput={(event) => change(event.currentTarget.value)}
                />
            )}
        </Field>
    );
}

function schemaProblem(schema: unknown): string | null {
    const problems = schemaIssues(schema).map(({ kind, name, path }) =>
        t(`format.issue.${kind}`, { name, path }),
    );
    return problems.length > 0 ? problems.join(" ") : null;
}

function regexProblem(pattern: string): string | null {
    const fault = regexFault(pattern);
    return fault ? t(`format.regex.${fault}`) : sizeProblem(pattern);
}

function sizeProblem(text: string): string | null {
    if (text.trim() === "") return t("format.empty");
    return byteLength(text) > MAX_BYTES ? t("json.too-long", { kib: MAX_BYTES / 1024 }) : null;
}

const GRAMMARS = {
    lark: 'start: greeting ", " name "!"\ngreeting: "Hello" | "Hola"\nname: /[A-Z][a-z]+/',
    gbnf: 'root ::= greeting ", " name "!"\ngreeting ::= "Hello" | "Hola"\nname ::= [A-Z] [a-z]+',
};

/** What each kind begins with. */
const INITIAL: { [K in Kind]: OfKind<K> } = {
    json: { type: "json" },
    json_schema: { type: "json_schema", schema: EXAMPLE_SCHEMAS[0]?.schema ?? {} },
    regex: { type: "regex", pattern: "\\d{4}-\\d{2}-\\d{2}" },
    choice: { type: "choice", choices: ["yes", "no"] },
    grammar: { type: "grammar", syntax: "lark", grammar: GRAMMARS.lark },
};

/** The longest constraint that the server reads. */
const MAX_BYTES = 256 * 1024;

const MAX_ROWS = 16;
