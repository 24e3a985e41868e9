import { t } from "../../i18n";
import { Field } from "../../ui/field";
import type { ChatSettings } from "../types";
import { BiasTable } from "./bias-table";
import { Numbers, type SetParam } from "./numbers";
import { Parameter, ParameterDefault, Setting } from "./parameter";

/** Thinking, biases, and how the server computes. */
export function AdvancedSettings({
    settings: { mode, params, thinking },
    onChange,
    setParam,
}: {
    settings: ChatSettings;
    onChange: (part: Partial<ChatSettings>) => void;
    setParam: SetParam;
}) {
    const biases = params.logit_bias ?? {};
    return (
        <>
            {mode === "chat" && (
                <Thinking thinking={thinking} onChange={(thinking) => onChange({ thinking })} />
            )}
            <Numbers group="advanced" params={params} setParam={setParam} />
            <Setting
                label={t("params.logit_bias")}
                onReset={params.logit_bias ? () => setParam("logit_bias", undefined) : null}
            >
                <fieldset class="biases-field">
                    <legend>{t("params.logit_bias")}</legend>
                    <BiasTable
                        biases={biases}
                        onChange={(biases) =>
                            setParam(
                                "logit_bias",
                                Object.keys(biases).length > 0 ? biases : undefined,
                            )
                        }
                    />
                    <p class="field-help">{t("params.logit_bias.help")}</p>
                </fieldset>
                <ParameterDefault name="logit_bias" initial={t("params.none")} />
            </Setting>
            <OnOff name="ignore_eos" initial="params.off" params={params} setParam={setParam} />
            <OnOff name="cache_prompt" initial="params.on" params={params} setParam={setParam} />
            <OnOff
                name="special"
                initial={mode === "chat" ? "params.on" : "params.off"}
                params={params}
                setParam={setParam}
            />
            <Speculation value={params.speculative} setParam={setParam} />
        </>
    );
}

function Thinking({
    thinking,
    onChange,
}: {
    thinking: boolean | null;
    onChange: (thinking: boolean | null) => void;
}) {
    return (
        <Setting
            label={t("panel.thinking")}
            onReset={thinking === null ? null : () => onChange(null)}
        >
            <Field label={t("panel.thinking")} help={t("panel.thinking.help")}>
                {(attributes) => (
                    <select
                        {...attributes}
                        value={thinking === null ? "" : String(thinking)}
                        onChange={({ currentTarget: { value } }) =>
                            onChange(value === "" ? null : value === "true")
                        }
                    >
                        <option value="">{t("panel.thinking.template")}</option>
                        <option value="true">{t("params.on")}</option>
                        <option value="false">{t("params.off")}</option>
                    </select>
                )}
            </Field>
        </Setting>
    );
}

function OnOff({
    name,
    initial,
    params,
    setParam,
}: {
    name: "ignore_eos" | "cache_prompt" | "special";
    initial: "params.on" | "params.off";
    params: ChatSettings["params"];
    setParam: SetParam;
}) {
    const value = params[name];
    return (
        <Parameter
            name={name}
            initial={t(initial)}
            onReset={value === undefined ? null : () => setParam(name, undefined)}
        >
            {(attributes) => (
                <select
                    {...attributes}
                    value={value === undefined ? "" : String(value)}
                    onChange={({ currentTarget: { value } }) =>
                        setParam(name, value === "" ? undefined : value === "true")
                    }
                >
                    <option value="">{t("params.default", { value: t(initial) })}</option>
                    <option value="true">{t("params.on")}</option>
                    <option value="false">{t("params.off")}</option>
                </select>
            )}
        </Parameter>
    );
}

function Speculation({
    value,
    setParam,
}: {
    value: ChatSettings["params"]["speculative"];
    setParam: SetParam;
}) {
    const initial = t("params.speculative.server");
    return (
        <Parameter
            name="speculative"
            initial={initial}
            onReset={value === undefined ? null : () => setParam("speculative", undefined)}
        >
            {(attributes) => (
                <select
                    {...attributes}
                    value={value ?? ""}
                    onChange={({ currentTarget }) =>
                        setParam(
                            "speculative",
                            SOURCES.find((source) => source === currentTarget.value),
                        )
                    }
                >
                    <option value="">{t("params.default", { value: initial })}</option>
                    {SOURCES.map((source) => (
                        <option key={source} value={source}>
                            {t(`params.speculative.${source}`)}
                        </option>
                    ))}
                </select>
            )}
        </Parameter>
    );
}

/** Where draft tokens can come from. */
const SOURCES = ["off", "ngram", "auto"] as const;
