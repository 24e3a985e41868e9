import { useState } from "preact/hooks";

import { t } from "../../i18n";
import type { ToolChoice } from "../../protocol";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import type { MockTool } from "../types";
import { EMPTY_PARAMETERS, EXAMPLE_TOOL } from "./examples";
import { useFault } from "./faults";
import { JsonEditor } from "./json-editor";

interface ToolSettings {
    tools: MockTool[];
    toolChoice: ToolChoice;
}

/** The tools that the model may call, and what their calls give. */
export function ToolsSetting({
    tools,
    toolChoice,
    onChange,
}: ToolSettings & { onChange: (change: ToolSettings) => void }) {
    const names = tools.map(nameOf);
    const add = (tool: MockTool) =>
        onChange({ tools: [...tools, renamed(tool, freeName(nameOf(tool), names))], toolChoice });
    const replace = (index: number, tool: MockTool) =>
        onChange({
            tools: tools.map((other, i) => (i === index ? tool : other)),
            toolChoice: isChosen(toolChoice, names[index])
                ? { type: "function", function: { name: nameOf(tool) } }
                : toolChoice,
        });
    const remove = (index: number) =>
        onChange({
            tools: tools.filter((_, i) => i !== index),
            toolChoice:
                tools.length === 1 || isChosen(toolChoice, names[index]) ? "auto" : toolChoice,
        });
    return (
        <>
            <p class="field-help">{t("tools.help")}</p>
            <ul class="tools">
                {tools.map((tool, index) => (
                    <li key={index}>
                        <ToolEditor
                            tool={tool}
                            otherNames={names.filter((_, i) => i !== index)}
                            onChange={(tool) => replace(index, tool)}
                            onRemove={() => remove(index)}
                        />
                    </li>
                ))}
            </ul>
            <div class="examples">
                <Button
                    icon="plus"
                    disabled={tools.length >= MAX_TOOLS}
                    onClick={() => add(NEW_TOOL)}
                >
                    {t("tools.add")}
                </Button>
                <Button disabled={tools.length >= MAX_TOOLS} onClick={() => add(EXAMPLE_TOOL)}>
                    {t("tools.example")}
                </Button>
            </div>
            {tools.length > 0 && (
                <ChoiceOfTool
                    names={names}
                    choice={toolChoice}
                    onChange={(toolChoice) => onChange({ tools, toolChoice })}
                />
            )}
        </>
    );
}

function ToolEditor({
    tool,
    otherNames,
    onChange,
    onRemove,
}: {
    tool: MockTool;
    otherNames: string[];
    onChange: (tool: MockTool) => void;
    onRemove: () => void;
}) {
    const name = nameOf(tool);
    const { description, parameters } = tool.tool.function;
    const change = (part: Partial<MockTool["tool"]["function"]>) =>
        onChange({
            ...tool,
            tool: { type: "function", function: { ...tool.tool.function, ...part } },
        });
    return (
        <details class="tool">
            <summary>
                <code>{name}</code>
            </summary>
            <NameField
                name={name}
                otherNames={otherNames}
                onChange={(name) => onChange(renamed(tool, name))}
            />
            <Field label={t("tools.description")} help={t("tools.description.help")}>
                {(attributes) => (
                    <textarea
                        {...attributes}
                        rows={2}
                        dir="auto"
                        value={description ?? ""}
                        onInput={({ currentTarget }) =>
                            change({ description: currentTarget.value })
                        }
                    />
                )}
            </Field>
            <JsonEditor
                label={t("tools.parameters")}
                help={t("tools.parameters.help")}
                value={parameters ?? EMPTY_PARAMETERS}
                problem={(value) => (isObject(value) ? null : t("tools.no-object"))}
                onChange={(parameters) => change({ parameters })}
            />
            <ResultField
                result={tool.result}
                onChange={(result) => onChange({ ...tool, result })}
            />
            <Button icon="trash" kind="danger" onClick={onRemove}>
                {t("tools.remove", { name })}
            </Button>
        </details>
    );
}

function NameField({
    name,
    otherNames,
    onChange,
}: {
    name: string;
    otherNames: string[];
    onChange: (name: string) => void;
}) {
    const [typed, setTyped] = useState<{ text: string; of: string } | null>(null);
    const text = typed && typed.of === name ? typed.text : name;
    const errorOf = (text: string) => {
        if (!NAME.test(text)) return t("tools.name.wrong");
        return otherNames.includes(text) ? t("list.twice") : null;
    };
    const change = (text: string) => {
        const isRight = errorOf(text) === null;
        setTyped({ text, of: isRight ? text : name });
        if (isRight) onChange(text);
    };
    const error = errorOf(text);
    useFault(t("tools.name"), error);
    return (
        <Field label={t("tools.name")} error={error}>
            {(attributes) => (
                <input
                    {...attributes}
                    class="code-field"
                    autocomplete="off"
                    spellcheck={false}
                    value={text}
                    onInput={(event) => change(event.currentTarget.value)}
                />
            )}
        </Field>
    );
}

/** What a call gives: always the same text, or what the user writes each time. */
function ResultField({
    result,
    onChange,
}: {
    result: string | null;
    onChange: (result: string | null) => void;
}) {
    return (
        <>
            <label class="check">
                <input
                    type="checkbox"
                    checked={result === null}
                    onChange={({ currentTarget }) => onChange(currentTarget.checked ? null : "")}
                />
                <span>{t("tools.ask")}</span>
            </label>
            {result !== null && (
                <Field label={t("tools.result")} help={t("tools.result.help")}>
                    {(attributes) => (
                        <textarea
                            {...attributes}
                            class="code-field"
                            rows={3}
                            dir="auto"
                            spellcheck={false}
                            value={result}
                            onInput={(event) => onChange(event.currentTarget.value)}
                        />
                    )}
                </Field>
            )}
        </>
    );
}

function ChoiceOfTool({
    names,
    choice,
    onChange,
}: {
    names: string[];
    choice: ToolChoice;
    onChange: (choice: ToolChoice) => void;
}) {
    const change = (value: string) =>
        onChange(
            value.startsWith(FUNCTION)
                ? { type: "function", function: { name: value.slice(FUNCTION.length) } }
                : (value as "auto" | "none" | "required"),
        );
    return (
        <Field label={t("tools.choice")} help={t("tools.choice.help")}>
            {(attributes) => (
                <select
                    {...attributes}
                    value={typeof choice === "string" ? choice : FUNCTION + choice.function.name}
                    onChange={(event) => change(event.currentTarget.value)}
                >
                    <option value="auto">{t("tools.choice.auto")}</option>
                    <option value="none">{t("tools.choice.none")}</option>
                    <option value="required">{t("tools.choice.required")}</option>
                    {names.map((name) => (
                        <option key={name} value={FUNCTION + name}>
                            {t("tools.choice.this", { name })}
                        </option>
                    ))}
                </select>
            )}
        </Field>
    );
}

function nameOf(tool: MockTool): string {
    return tool.tool.function.name;
}

function renamed(tool: MockTool, name: string): MockTool {
    return { ...tool, tool: { type: "function", function: { ...tool.tool.function, name } } };
}

/** `name`, or with the first number that makes it differ from `names`. */
function freeName(name: string, names: string[]): string {
    if (!names.includes(name)) return name;
    for (let n = 2; ; n += 1) {
        if (!names.includes(`${name}_${n}`)) return `${name}_${n}`;
    }
}

function isChosen(choice: ToolChoice, name: string | undefined): boolean {
    return typeof choice === "object" && choice.function.name === name;
}

function isObject(value: unknown): boolean {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

const NEW_TOOL: MockTool = {
    tool: {
        type: "function",
        function: { name: "my_tool", description: "", parameters: EMPTY_PARAMETERS },
    },
    result: null,
};

/** Names that all chat templates can write. */
const NAME = /^[a-zA-Z_][\w.-]{0,63}$/;

/** Marks the name of a tool among the choices. */
const FUNCTION = "function:";

/** Most tools of a request. */
const MAX_TOOLS = 512;
