import { chosenLanguage, number, t, type Language } from "../i18n";
import { hello, key, rights, useKey } from "../session";
import { showsKeyDialog } from "../shell/key-dialog";
import { theme, type Theme } from "../theme";
import { Button } from "../ui/button";
import { Field } from "../ui/field";
import { backendWords, rightsWords } from "../words";
import "./settings.css";

/** Language, colours, the key in use, and what the server is. */
export function SettingsPage() {
    return (
        <div class="page settings">
            <h1>{t("settings.title")}</h1>
            <Field label={t("settings.language")}>
                {(attributes) => (
                    <select
                        {...attributes}
                        value={chosenLanguage.value ?? "auto"}
                        onChange={({ currentTarget: { value } }) =>
                            (chosenLanguage.value = value === "auto" ? null : (value as Language))
                        }
                    >
                        <option value="auto">{t("settings.language.auto")}</option>
                        <option value="en" lang="en">
                            English
                        </option>
                        <option value="es" lang="es">
                            Español
                        </option>
                    </select>
                )}
            </Field>
            <Field label={t("settings.theme")}>
                {(attributes) => (
                    <select
                        {...attributes}
                        value={theme.value}
                        onChange={({ currentTarget: { value } }) => (theme.value = value as Theme)}
                    >
                        <option value="auto">{t("settings.theme.auto")}</option>
                        <option value="light">{t("settings.theme.light")}</option>
                        <option value="dark">{t("settings.theme.dark")}</option>
                    </select>
                )}
            </Field>
            <h2>{t("settings.key")}</h2>
            {key.value === null ? (
                <p>{t("settings.key.none")}</p>
            ) : (
                <p>
                    {rights.value.length > 0
                        ? t("settings.key.set", { rights: rightsWords(rights.value) })
                        : t("settings.key.refused")}
                </p>
            )}
            <div class="part-actions">
                <Button icon="edit" onClick={() => (showsKeyDialog.value = true)}>
                    {t("key.enter")}
                </Button>
                {key.value !== null && (
                    <Button icon="trash" onClick={() => useKey(null, false)}>
                        {t("settings.key.forget")}
                    </Button>
                )}
            </div>
            <Server />
        </div>
    );
}

function Server() {
    const server = hello.value;
    if (!server) return null;
    const rows = [
        [t("settings.server.version"), `${server.server} (${server.build.commit})`],
        [t("settings.server.model"), server.model.name],
        [t("settings.server.backend"), backendWords(server.backend)],
        [
            t("settings.server.context"),
            t("settings.server.tokens", { n: number(server.ctx_size, 0) }),
        ],
    ];
    return (
        <>
            <h2>{t("settings.server")}</h2>
            <dl class="facts">
                {rows.map(([name, value]) => (
                    <div key={name}>
                        <dt>{name}</dt>
                        <dd>{value}</dd>
                    </div>
                ))}
            </dl>
        </>
    );
}
