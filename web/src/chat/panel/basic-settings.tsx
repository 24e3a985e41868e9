import { t } from "../../i18n";
import { Field } from "../../ui/field";
import type { ChatSettings } from "../types";
import { Numbers, type SetParam } from "./numbers";
import { ParameterDefault, Setting } from "./parameter";
import { MAX_STOP_BYTES, MAX_STOPS } from "./parameters";
import { TextList } from "./text-list";

/** The system prompt, and the parameters that everybody needs. */
export function BasicSettings({
    settings: { mode, system, params },
    maxTokens,
    onChange,
    setParam,
}: {
    settings: ChatSettings;
    maxTokens: number | undefined;
    onChange: (part: Partial<ChatSettings>) => void;
    setParam: SetParam;
}) {
    return (
        <>
            {mode === "chat" && (
                <Setting
                    label={t("panel.system")}
                    onReset={system === "" ? null : () => onChange({ system: "" })}
                >
                    <Field label={t("panel.system")} help={t("panel.system.help")}>
                        {(attributes) => (
                            <textarea
                                {...attributes}
                                rows={3}
                                dir="auto"
                                value={system}
                                onInput={({ currentTarget }) =>
                                    onChange({ system: currentTarget.value })
                                }
                            />
                        )}
                    </Field>
                </Setting>
            )}
            <Numbers group="basics" params={params} maxTokens={maxTokens} setParam={setParam} />
            <Setting
                label={t("params.stop")}
                onReset={params.stop ? () => setParam("stop", undefined) : null}
            >
                <TextList
                    label={t("params.stop")}
                    help={t("params.stop.help")}
                    texts={params.stop ?? []}
                    limit={{ texts: MAX_STOPS, bytes: MAX_STOP_BYTES }}
                    onChange={(texts) => setParam("stop", texts.length > 0 ? texts : undefined)}
                />
                <ParameterDefault name="stop" initial={t("params.none")} />
            </Setting>
        </>
    );
}
