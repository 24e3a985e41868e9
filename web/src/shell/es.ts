import type { shellEn } from "./en";

export const shellEs: Record<keyof typeof shellEn, string> = {
    "nav.label": "Páginas",
    "nav.chat": "Chat",
    "nav.dashboard": "Panel",
    "nav.requests": "Peticiones",
    "nav.settings": "Ajustes",
    "nav.skip": "Ir al contenido",

    "state.connecting": "Conectando …",
    "state.idle": "Listo",
    "state.busy": "Calculando",
    "state.loading": "Cargando el modelo",
    "state.stalled": "Atascado",
    "state.restarting": "Reiniciando",
    "state.draining": "Apagándose",
    "state.lost": "Sin conexión",
    "state.key-needed": "Falta la clave",
    "state.closed": "Cerrado",

    "banner.lost": "Se ha perdido la conexión con el servidor.",
    "banner.next": "Próximo intento en {seconds} s.",
    "banner.key-needed": "Este servidor necesita una clave de API.",
    "banner.retry": "Intentar ahora",
    "banner.loading":
        "El servidor está cargando el modelo. Las peticiones que envíes ahora esperan hasta que esté listo.",
    "banner.stalled":
        "El modelo no avanza. El servidor sustituye su proceso; las respuestas en curso han fallado.",
    "banner.restarting": "El proceso del modelo ha terminado ({cause}). El servidor inicia otro.",
    "banner.draining":
        "El servidor se está apagando. Termina lo que está en curso y no acepta peticiones nuevas.",

    "key.title": "Este servidor necesita una clave de API",
    "key.explanation":
        "Pídesela a quien administra el servidor. Se crea con «inference-core key new».",
    "key.field": "Clave de API",
    "key.remember": "Recordar la clave en este navegador",
    "key.send": "Usar esta clave",
    "key.enter": "Introducir una clave",
    "key.wrong": "El servidor ha rechazado la clave. Compruébala o pide otra.",

    "shortcuts.title": "Atajos de teclado",
    "shortcuts.show": "Mostrar los atajos de teclado",
    "shortcuts.go-chat": "Ir al chat",
    "shortcuts.go-dashboard": "Ir al panel",
    "shortcuts.go-requests": "Ir a las peticiones",
    "shortcuts.go-settings": "Ir a los ajustes",

    "part.not-loaded":
        "No se ha podido cargar esta parte de la página. ¿Está disponible el servidor?",
    "part.broken": "No se ha podido mostrar esta parte de la página.",
    "part.retry": "Intentar de nuevo",
    "part.reload": "Recargar la página",

    "common.close": "Cerrar",
    "common.cancel": "Cancelar",
    "common.copy": "Copiar",
    "common.copied": "Copiado",
    "common.loading": "Cargando …",
    "common.unknown": "desconocido",
};
