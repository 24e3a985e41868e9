/** Icons of the page, drawn as strokes in a box of 24 by 24. */

const PATHS = {
    chat: "M4 5h16v11H9l-5 4z",
    dashboard: "M4 20V10M10 20V4M16 20v-7M21 20H3",
    requests: "M4 6h16M4 12h16M4 18h10",
    settings:
        "M12 5.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M12 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4M12 2.5v3m0 13v3M2.5 12h3m13 0h3M5.3 5.3l2.1 2.1m9.2 9.2 2.1 2.1M5.3 18.7l2.1-2.1m9.2-9.2 2.1-2.1",
    keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M7 14h10",
    close: "M6 6l12 12M18 6L6 18",
    plus: "M12 5v14M5 12h14",
    send: "M5 12h13M12 5l7 7-7 7",
    stop: "M7 7h10v10H7z",
    retry: "M4 4v6h6M20 20v-6h-6M5.5 15a7 7 0 0 0 12.6 1.9M18.5 9A7 7 0 0 0 5.9 7.1",
    undo: "M4 9h10a5 5 0 0 1 0 10h-4M8 5L4 9l4 4",
    edit: "M4 20l1-5L16 4l4 4L9 19z",
    branch: "M7 4v16M7 14c6 0 10-2 10-8M14 6l3-3 3 3",
    copy: "M9 9h11v11H9zM5 15H4V4h11v1",
    check: "M5 13l4 4L19 7",
    trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
    search: "M10 4a6 6 0 1 0 0 12 6 6 0 0 0 0-12M15 15l5 5",
    download: "M12 4v11M7 11l5 5 5-5M4 20h16",
    upload: "M12 16V5M7 9l5-5 5 5M4 20h16",
    left: "M14 6l-6 6 6 6",
    right: "M10 6l6 6-6 6",
    down: "M6 10l6 6 6-6",
    up: "M6 14l6-6 6 6",
    menu: "M4 6h16M4 12h16M4 18h16",
    more: "M4.5 12a.5.5 0 1 0 1 0 .5.5 0 0 0-1 0m7 0a.5.5 0 1 0 1 0 .5.5 0 0 0-1 0m7 0a.5.5 0 1 0 1 0 .5.5 0 0 0-1 0",
    print: "M7 9V4h10v5M7 17H4V9h16v8h-3M7 14h10v6H7z",
    warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
    info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 11v5M12 8h.01",
    sliders: "M6 4v6m0 4v6M12 4v2m0 4v10M18 4v10m0 4v2M4 12h4M10 8h4M16 16h4",
} as const;

export type IconName = keyof typeof PATHS;

/** An icon. It says nothing to a screen reader: what it means stands beside it. */
export function Icon({ name }: { name: IconName }) {
    return (
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
            <path d={PATHS[name]} />
        </svg>
    );
}
