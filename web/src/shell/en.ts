export const shellEn = {
    "nav.label": "Pages",
    "nav.chat": "Chat",
    "nav.dashboard": "Dashboard",
    "nav.requests": "Requests",
    "nav.settings": "Settings",
    "nav.skip": "Skip to the content",

    "state.connecting": "Connecting …",
    "state.idle": "Ready",
    "state.busy": "Computing",
    "state.loading": "Loading the model",
    "state.stalled": "Stalled",
    "state.restarting": "Restarting",
    "state.draining": "Shutting down",
    "state.lost": "No connection",
    "state.key-needed": "Key needed",
    "state.closed": "Closed",

    "banner.lost": "The connection to the server is lost.",
    "banner.next": "Next attempt in {seconds} s.",
    "banner.key-needed": "This server needs an API key.",
    "banner.retry": "Try now",
    "banner.loading":
        "The server loads the model. Requests that you send now wait until it is ready.",
    "banner.stalled":
        "The model makes no progress. The server replaces its process; the answers that were running have failed.",
    "banner.restarting":
        "The process of the model has ended ({cause}). The server starts another one.",
    "banner.draining":
        "The server shuts down. It finishes what is running, and accepts no new requests.",

    "key.title": "This server needs an API key",
    "key.explanation":
        "Ask the person who runs the server for one. They make it with “inference-core key new”.",
    "key.field": "API key",
    "key.remember": "Remember the key in this browser",
    "key.send": "Use this key",
    "key.enter": "Enter a key",
    "key.wrong": "The server refused the key. Check it, or ask for another one.",

    "shortcuts.title": "Keyboard shortcuts",
    "shortcuts.show": "Show the keyboard shortcuts",
    "shortcuts.go-chat": "Go to the chat",
    "shortcuts.go-dashboard": "Go to the dashboard",
    "shortcuts.go-requests": "Go to the requests",
    "shortcuts.go-settings": "Go to the settings",

    "part.not-loaded": "This part of the page could not be loaded. Is the server there?",
    "part.broken": "This part of the page could not be shown.",
    "part.retry": "Try again",
    "part.reload": "Load the page again",

    "common.close": "Close",
    "common.cancel": "Cancel",
    "common.copy": "Copy",
    "common.copied": "Copied",
    "common.loading": "Loading …",
    "common.unknown": "unknown",
};
