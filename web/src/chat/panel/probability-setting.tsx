import { t } from "../../i18n";
import { Field } from "../../ui/field";
import type { ChatSettings } from "../types";
import { NumberInput, useTypedNumber } from "./number-field";
import { RIVALS, withParam } from "./parameters";

/** Whether answers come with the probabilities of their tokens, and with how many rivals. */
export function ProbabilitySetting({
    settings: { params, showsProbabilities },
    onChange,
}: {
    settings: ChatSettings;
    onChange: (part: Partial<ChatSettings>) => void;
}) {
    const rivals = params.logprobs ?? RIVALS.initial;
    const set = (logprobs: number | undefined) =>
        onChange({ params: withParam(params, "logprobs", logprobs ?? RIVALS.initial) });
    const typed = useTypedNumber(t("panel.rivals"), rivals, RIVALS, set);
    const turn = (isOn: boolean) =>
        onChange({
            showsProbabilities: isOn,
            params: withParam(params, "logprobs", isOn ? rivals : undefined),
        });
    return (
        <>
            <label class="check">
                <input
                    type="checkbox"
                    checked={showsProbabilities}
                    onChange={(event) => turn(event.currentTarget.checked)}
                />
                <span>{t("panel.probabilities.show")}</span>
            </label>
            <p class="field-help">{t("panel.probabilities.help")}</p>
            {showsProbabilities && (
                <Field label={t("panel.rivals")} help={t("panel.rivals.help")} error={typed.error}>
                    {(ties) => (
                        <div class="number-row">
                            <input
                                type="range"
                                min={RIVALS.min}
                                max={RIVALS.max}
                                aria-label={t("params.slider", { name: t("panel.rivals") })}
                                value={rivals}
                                onInput={({ currentTarget }) => set(Number(currentTarget.value))}
                            />
                            <NumberInput
                                ties={ties}
                                typed={typed}
                                initial={String(RIVALS.initial)}
                                isInteger
                            />
                        </div>
                    )}
                </Field>
            )}
        </>
    );
}
