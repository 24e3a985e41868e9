import type { wordsEn } from "./en";

export const wordsEs: Record<keyof typeof wordsEn, string> = {
    "error.bad_frame":
        "El servidor no ha entendido la petición. Puede que la página y el servidor sean de versiones distintas: recárgala.",
    "error.invalid_params":
        "El servidor ha rechazado la petición: un ajuste o un mensaje no es válido.",
    "error.context_overflow":
        "La conversación no cabe en el contexto del modelo. Empieza un chat nuevo o edita un mensaje anterior.",
    "error.busy": "El servidor tiene demasiadas peticiones. Inténtalo más tarde.",
    "error.loading": "El modelo aún no está cargado. Inténtalo dentro de poco.",
    "error.slow_client":
        "Esta página ha leído la respuesta demasiado despacio. Inténtalo de nuevo.",
    "error.engine_failed":
        "El modelo no ha podido calcular la respuesta o su proceso ha terminado. Inténtalo de nuevo.",
    "error.engine_stalled":
        "El modelo no avanzaba y se ha sustituido su proceso. Inténtalo de nuevo.",
    "error.shutting_down": "El servidor se está apagando. Inténtalo cuando vuelva.",
    "error.unauthorized": "El servidor no acepta la clave.",
    "error.forbidden": "La clave no permite esto.",
    "error.rate_limited":
        "Se ha alcanzado el límite de esta clave o dirección. Inténtalo más tarde.",
    "error.unknown": "El servidor comunica un error.",

    "lost.1001": "El servidor se está apagando.",
    "lost.1013": "El servidor no tiene sitio para esta conexión.",
    "lost.silent": "El servidor ha dejado de responder.",

    "cause.killed": "lo han matado, a menudo por falta de memoria: {cause}",
    "cause.crashed": "ha fallado: {cause}",
    "cause.stalled": "no avanzaba",
    "cause.failed-steps": "no podía calcular",

    "warning.call":
        "El modelo ha empezado una llamada a una herramienta que no se puede leer. Está en la respuesta como texto.",
    "warning.ignored": "El servidor ha pasado por alto una parte de la petición.",

    "right.infer": "usar el modelo",
    "right.metrics": "ver el panel y todas las peticiones",
    "right.admin": "detener las peticiones de otros",

    "backend.cpu": "CPU",
};
