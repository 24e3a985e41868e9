import { t } from "../i18n";
import { hello } from "../session";
import { Field } from "../ui/field";
import type { Plan, WhatIf } from "./plan";

/** The options whose effect on the plan can be tried out. */
export function WhatIfForm({
    plan,
    value,
    onChange,
}: {
    /** What the server uses, shown where nothing is entered. */
    plan: Plan;
    value: WhatIf;
    onChange: (value: WhatIf) => void;
}) {
    const maxContext = hello.value?.model.n_ctx_train ?? plan.ctx_size;
    return (
        <form class="what-if" onSubmit={(event) => event.preventDefault()}>
            {(["ctx_size", "parallel"] as const).map((name) => (
                <Field
                    key={name}
                    label={t(name === "ctx_size" ? "plan.ctx-size" : "plan.parallel")}
                    help={
                        name === "ctx_size"
                            ? t("plan.ctx-size.help", { max: maxContext })
                            : t("plan.parallel.help")
                    }
                >
                    {(attributes) => (
                        <input
                            {...attributes}
                            type="number"
                            inputMode="numeric"
                            min={1}
                            step={name === "ctx_size" ? 256 : 1}
                            placeholder={String(plan[name])}
                            value={value[name]}
                            onInput={({ currentTarget }) =>
                                onChange({ ...value, [name]: currentTarget.value })
                            }
                        />
                    )}
                </Field>
            ))}
            <Field label={t("plan.kv-type")} help={t("plan.kv-type.help")}>
                {(attributes) => (
                    <select
                        {...attributes}
                        value={value.kv_type}
                        onChange={({ currentTarget }) =>
                            onChange({ ...value, kv_type: currentTarget.value })
                        }
                    >
                        <option value="">{t("plan.as-now", { value: plan.kv_type })}</option>
                        {KV_TYPES.map((type) => (
                            <option key={type}>{type}</option>
                        ))}
                    </select>
                )}
            </Field>
            <Field label={t("plan.card")} help={t("plan.card.help")}>
                {(attributes) => (
                    <select
                        {...attributes}
                        value={value.vram}
                        onChange={({ currentTarget }) =>
                            onChange({ ...value, vram: currentTarget.value })
                        }
                    >
                        <option value="">{t("plan.this-machine")}</option>
                        {CARDS.map((sizes) => (
                            <option key={sizes.join()} value={sizes.join()}>
                                {cardName(sizes)}
                            </option>
                        ))}
                    </select>
                )}
            </Field>
        </form>
    );
}

function cardName(sizes: string[]): string {
    const size = (sizes[0] ?? "").replace("GB", " GiB");
    return sizes.length > 1 ? `${sizes.length} × ${size}` : size;
}

/** The types that a KV cache can have. */
const KV_TYPES = ["auto", "f16", "q8_0", "q4_0"];

/** Free VRAM of common cards, as the option `--vram` reads it. */
const CARDS = [
    ["4GB"],
    ["6GB"],
    ["8GB"],
    ["12GB"],
    ["16GB"],
    ["24GB"],
    ["32GB"],
    ["48GB"],
    ["80GB"],
    ["24GB", "24GB"],
    ["80GB", "80GB"],
];
