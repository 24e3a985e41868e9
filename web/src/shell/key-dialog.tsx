import { signal, useSignal } from "@preact/signals";

import { t } from "../i18n";
import { connection, key, useKey } from "../session";
import { Button } from "../ui/button";
import { Detail } from "../ui/detail";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/field";

/** Whether the dialog is shown: whenever the server asks for a key, and on demand. */
export const showsKeyDialog = signal(false);

connection.subscribe(({ kind }) => {
    if (kind === "key-needed") showsKeyDialog.value = true;
    if (kind === "open") showsKeyDialog.value = false;
});

/** Asks for an API key. */
export function KeyDialog() {
    return showsKeyDialog.value ? <KeyForm /> : null;
}

function KeyForm() {
    const { kind } = connection.value;
    // Without a key, the server has refused none.
    const reason = kind === "key-needed" && key.value !== null ? connection.value.reason : null;
    const text = useSignal("");
    const remember = useSignal(false);
    const send = (event: Event) => {
        event.preventDefault();
        if (text.value.trim()) useKey(text.value.trim(), remember.value);
    };
    return (
        <Dialog
            title={t(kind === "open" ? "key.field" : "key.title")}
            onClose={() => (showsKeyDialog.value = false)}
        >
            <form class="form" onSubmit={send}>
                <p>{t("key.explanation")}</p>
                <Field label={t("key.field")} error={reason && t("key.wrong")}>
                    {(attributes) => (
                        <input
                            {...attributes}
                            autofocus
                            type="password"
                            autocomplete="off"
                            spellcheck={false}
                            value={text.value}
                            onInput={(event) => (text.value = event.currentTarget.value)}
                        />
                    )}
                </Field>
                {reason && <Detail text={reason} />}
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
