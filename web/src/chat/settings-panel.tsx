import type { ComponentChildren } from "preact";

import { t } from "../i18n";
import type { Params } from "../protocol";
import { hello } from "../session";
import { Button } from "../ui/button";
import { AdvancedSettings } from "./panel/advanced-settings";
import { BasicSettings } from "./panel/basic-settings";
import { FormatSetting } from "./panel/format-setting";
import { Numbers, type SetParam } from "./panel/numbers";
import { NAMES, withParam, type Group } from "./panel/parameters";
import { PRESETS, presetOf, withPreset } from "./panel/presets";
import { ProbabilitySetting } from "./panel/probability-setting";
import { ToolsSetting } from "./panel/tools-setting";
import { DEFAULT_SETTINGS, type ChatSettings } from "./types";
import "../styles/settings-panel.css";

/**
 * All that a conversation asks of the model. `onChange` is only told settings that the server
 * accepts; a text that is wrong stays in its field, with the reason below it.
 */
export function SettingsPanel({
    settings,
    onChange,
}: {
    settings: ChatSettings;
    onChange: (settings: ChatSettings) => void;
}) {
    const { params } = settings;
    const change = (part: Partial<ChatSettings>) => onChange({ ...settings, ...part });
    const setParam: SetParam = (name, value) => change({ params: withParam(params, name, value) });
    const resetAll = () => onChange({ ...DEFAULT_SETTINGS, mode: settings.mode });
    const isChat = settings.mode === "chat";
    return (
        <div class="settings-panel">
            <ModeSwitch
                mode={settings.mode}
                problem={hello.value?.model.chat === false ? hello.value.model.chat_problem : null}
                onChange={(mode) => change({ mode })}
            />
            <Presets params={params} onChange={(params) => change({ params })} />
            <Section title={t("panel.basics")} isOpen count={countOf(params, "basics")}>
                <BasicSettings
                    settings={settings}
                    maxTokens={hello.value?.max_tokens}
                    onChange={change}
                    setParam={setParam}
                />
            </Section>
            <Section title={t("panel.format")} count={settings.format ? 1 : 0}>
                <FormatSetting format={settings.format} onChange={(format) => change({ format })} />
            </Section>
            {isChat && (
                <Section title={t("panel.tools")} count={settings.tools.length}>
                    <ToolsSetting
                        tools={settings.tools}
                        toolChoice={settings.toolChoice}
                        onChange={change}
                    />
                </Section>
            )}
            <Section title={t("panel.sampling")} count={countOf(params, "sampling")}>
                <Numbers group="sampling" params={params} setParam={setParam} />
            </Section>
            <Section title={t("panel.penalties")} count={countOf(params, "penalties")}>
                <Numbers group="penalties" params={params} setParam={setParam} />
            </Section>
            <Section title={t("panel.probabilities")} count={settings.showsProbabilities ? 1 : 0}>
                <ProbabilitySetting settings={settings} onChange={change} />
            </Section>
            <Section
                title={t("panel.advanced")}
                count={countOf(params, "advanced") + (settings.thinking === null ? 0 : 1)}
            >
                <AdvancedSettings settings={settings} onChange={change} setParam={setParam} />
            </Section>
            <Button icon="undo" onClick={resetAll}>
                {t("panel.reset")}
            </Button>
        </div>
    );
}

function ModeSwitch({
    mode,
    problem,
    onChange,
}: {
    mode: ChatSettings["mode"];
    /** Why the model cannot chat; `null` if it can. */
    problem: string | null | undefined;
    onChange: (mode: ChatSettings["mode"]) => void;
}) {
    return (
        <fieldset class="choice">
            <legend>{t("panel.mode")}</legend>
            {(["chat", "raw"] as const).map((name) => (
                <label key={name}>
                    <input
                        type="radio"
                        name="mode"
                        checked={mode === name}
                        disabled={name === "chat" && problem !== null}
                        onChange={() => onChange(name)}
                    />
                    <span>{t(`panel.mode.${name}`)}</span>
                </label>
            ))}
            <p class="field-help">
                {problem === null
                    ? t(`panel.mode.${mode}.help`)
                    : t("panel.mode.problem", { problem: problem ?? "" })}
            </p>
        </fieldset>
    );
}

function Presets({ params, onChange }: { params: Params; onChange: (params: Params) => void }) {
    const current = presetOf(params);
    return (
        <div class="presets" role="group" aria-label={t("panel.presets")}>
            <span aria-hidden="true">{t("panel.presets")}</span>
            {PRESETS.map((preset) => (
                <button
                    key={preset}
                    type="button"
                    aria-pressed={preset === current}
                    title={t(`panel.preset.${preset}.help`)}
                    onClick={() => onChange(withPreset(params, preset))}
                >
                    {t(`panel.preset.${preset}`)}
                </button>
            ))}
        </div>
    );
}

/** A part of the panel that folds. Folded, it still says how many settings in it are not default. */
function Section({
    title,
    count,
    isOpen = false,
    children,
}: {
    title: string;
    count: number;
    isOpen?: boolean;
    children: ComponentChildren;
}) {
    return (
        <details class="section" open={isOpen}>
            <summary>
                <span class="section-title">{title}</span>
                {count > 0 && <span class="section-count">{t("panel.changed", { n: count })}</span>}
            </summary>
            <div class="section-body">{children}</div>
        </details>
    );
}

/** How many parameters of `group` are set. */
function countOf(params: Params, group: Group): number {
    return NAMES[group].filter((name) => params[name] !== undefined).length;
}
