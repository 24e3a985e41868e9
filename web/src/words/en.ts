export const wordsEn = {
    "error.bad_frame":
        "The server did not understand the request. The page may be newer or older than the server: load it again.",
    "error.invalid_params": "The server refused the request: a setting or a message is wrong.",
    "error.context_overflow":
        "The conversation is longer than the context of the model. Begin a new chat, or edit an earlier message.",
    "error.busy": "The server has too many requests. Try again later.",
    "error.loading": "The model is not loaded yet. Try again soon.",
    "error.slow_client": "This page read the answer too slowly. Try again.",
    "error.engine_failed":
        "The model could not compute the answer, or its process ended. Try again.",
    "error.engine_stalled": "The model made no progress, and its process was replaced. Try again.",
    "error.shutting_down": "The server is shutting down. Try again when it is back.",
    "error.unauthorized": "The server does not accept the key.",
    "error.forbidden": "The key does not allow this.",
    "error.rate_limited": "The limit of this key or address is reached. Try again later.",
    "error.unknown": "The server reports an error.",

    "lost.1001": "The server is shutting down.",
    "lost.1013": "The server has no space for this connection.",
    "lost.silent": "The server no longer answers.",

    "cause.killed": "it was killed, often because memory ran out: {cause}",
    "cause.crashed": "it crashed: {cause}",
    "cause.stalled": "it made no progress",
    "cause.failed-steps": "it could not compute",

    "warning.call":
        "The model began a call of a tool that cannot be read. It stands in the answer as text.",
    "warning.ignored": "The server ignored a part of the request.",

    "right.infer": "use the model",
    "right.metrics": "see the dashboard and all requests",
    "right.admin": "stop the requests of others",

    "backend.cpu": "CPU",
};
