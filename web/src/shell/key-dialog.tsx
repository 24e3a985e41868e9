import { useSignal } from "@preact/signals";

import { t } from "../i18n";
import { connection, useKey } from "../session";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/field";

/** Asks for an API key while the server needs one. */
export function KeyDialog() {
    if (connection.value.kind !== "key-needed") return null;
    return <KeyForm reason={connection.value.reason} />;
}

function KeyForm({ reason }: { reason: string | null }) {
    const text = useSignal("");
    const remember = useSignal(false);
    const send = (event: Event) => {
        event.preventDefault();
        if (text.value.trim()) useKey(text.value.trim(), remember.value);
    };
    return (
        <Dialog title={t("key.title")}>
            <form class="form" onSubmit={send}>
                <p>{t("key.explanation")}</p>
                <Field label={t("key.field")} error={reason && t("key.wrong", { reason })}>
                    {(attributes) => (
                        <input
                            {...attributes}
                            type="password"
                            autocomplete="off"
                            spellcheck={false}
                            value={text.value}
                            onInput={(event) => (text.value = event.currentTarget.value)}
                        />
                    )}
                </Field>
                <label class="check">
                    <input
                        type="checkbox"
                        checked={remember.value}
                        onChange={(event) => (remember.value = event.currentTarget.checked)}
                    />
                    <span>{t("key.remember")}</span>
                </label>
                <div class="form-actions">
                    <Button kind="primary" type="submit">
                        {t("key.send")}
                    </Button>
                </div>
            </form>
        </Dialog>
    );
}
