import { useState } from "preact/hooks";

import { t } from "../../i18n";
import { Button, IconButton } from "../../ui/button";
import { NumberInput, rangeText, useTypedNumber } from "./number-field";
import { BIAS, MAX_BIASES, parseNumber, TOKEN_ID } from "./parameters";

type Biases = Record<string, number>;

/** The biases of tokens, by their ids. */
export function BiasTable({
    biases,
    onChange,
}: {
    biases: Biases;
    onChange: (biases: Biases) => void;
}) {
    const ids = Object.keys(biases);
    const remove = (id: string) => {
        const { [id]: _, ...others } = biases;
        onChange(others);
    };
    return (
        <>
            {ids.length > 0 && (
                <table class="biases">
                    <thead>
                        <tr>
                            <th scope="col">{t("bias.id")}</th>
                            <th scope="col">{t("bias.bias")}</th>
                            <td />
                        </tr>
                    </thead>
                    <tbody>
                        {ids.map((id) => (
                            <BiasRow
                                key={id}
                                id={id}
                                bias={biases[id] ?? 0}
                                onChange={(bias) => onChange({ ...biases, [id]: bias })}
                                onRemove={() => remove(id)}
                            />
                        ))}
                    </tbody>
                </table>
            )}
            <NewBias biases={biases} onAdd={(id, bias) => onChange({ ...biases, [id]: bias })} />
        </>
    );
}

function BiasRow({
    id,
    bias,
    onChange,
    onRemove,
}: {
    id: string;
    bias: number;
    onChange: (bias: number) => void;
    onRemove: () => void;
}) {
    const typed = useTypedNumber(t("bias.of", { id }), bias, BIAS, (value) => onChange(value ?? 0));
    return (
        <tr>
            <th scope="row">{id}</th>
            <td>
                <NumberInput
                    ties={{
                        "aria-label": t("bias.of", { id }),
                        "aria-invalid": typed.error !== null,
                    }}
                    typed={typed}
                    initial="0"
                    isInteger={false}
                />
                {typed.error && <p class="field-error">{typed.error}</p>}
            </td>
            <td>
                <IconButton icon="close" label={t("bias.remove", { id })} onClick={onRemove} />
            </td>
        </tr>
    );
}

function NewBias({ biases, onAdd }: { biases: Biases; onAdd: (id: string, bias: number) => void }) {
    const [idText, setIdText] = useState("");
    const [biasText, setBiasText] = useState("");
    const id = parseNumber(idText, TOKEN_ID);
    const bias = parseNumber(biasText, BIAS);
    const isFull = Object.keys(biases).length >= MAX_BIASES;
    const error =
        (isFull && t("list.full", { n: MAX_BIASES })) ||
        (id === null && `${t("bias.id")}: ${rangeText(TOKEN_ID)}`) ||
        (bias === null && `${t("bias.bias")}: ${rangeText(BIAS)}`) ||
        (typeof id === "number" && String(id) in biases && t("list.twice")) ||
        null;
    const isComplete = typeof id === "number" && typeof bias === "number" && error === null;
    const add = () => {
        if (!isComplete) return;
        onAdd(String(id), bias);
        setIdText("");
        setBiasText("");
    };
    return (
        <>
            <div class="entry-row">
                <input
                    aria-label={t("bias.id")}
                    aria-invalid={id === null}
                    placeholder={t("bias.id")}
                    inputMode="numeric"
                    autocomplete="off"
                    value={idText}
                    onInput={(event) => setIdText(event.currentTarget.value)}
                />
                <input
                    aria-label={t("bias.bias")}
                    aria-invalid={bias === null}
                    placeholder={t("bias.bias")}
                    inputMode="text"
                    autocomplete="off"
                    value={biasText}
                    onInput={(event) => setBiasText(event.currentTarget.value)}
                />
                <Button disabled={!isComplete} onClick={add}>
                    {t("list.add")}
                </Button>
            </div>
            {error && <p class="field-error">{error}</p>}
        </>
    );
}
