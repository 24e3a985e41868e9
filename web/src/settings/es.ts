import type { settingsEn } from "./en";

export const settingsEs: Record<keyof typeof settingsEn, string> = {
    "settings.title": "Ajustes",
    "settings.language": "Idioma",
    "settings.language.auto": "El del navegador",
    "settings.theme": "Colores",
    "settings.theme.auto": "Los del sistema",
    "settings.theme.light": "Claros",
    "settings.theme.dark": "Oscuros",
    "settings.key": "Clave de API",
    "settings.key.none": "No se usa ninguna clave.",
    "settings.key.set": "Se usa una clave. Con ella puedes {rights}.",
    "settings.key.refused": "Hay una clave, pero el servidor no la ha aceptado.",
    "settings.key.forget": "Olvidar la clave",
    "settings.server": "Servidor",
    "settings.server.version": "Versión",
    "settings.server.model": "Modelo",
    "settings.server.backend": "Calcula en",
    "settings.server.context": "Contexto por petición",
    "settings.server.tokens": "{n} tokens",
};
