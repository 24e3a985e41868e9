import type { ProxyOptions } from "vite";
import { defineConfig } from "vitest/config";

/** The daemon that `npm run dev` and `npm run preview` talk to. */
const daemon = process.env["INFERENCE_CORE"] ?? "http://127.0.0.1:3000";

/** Hands on what the daemon answers; all else is the page. */
const proxy: Record<string, ProxyOptions> = {
    "^/$": {
        target: daemon,
        ws: true,
        bypass: (request) => (request.headers.upgrade ? null : request.url),
        // The daemon refuses pages that it has not served.
        configure: (proxy) => proxy.on("proxyReqWs", (request) => request.removeHeader("origin")),
    },
    "^/(requests|plan)": {
        target: daemon,
        configure: (proxy) => proxy.on("proxyReq", (request) => request.removeHeader("origin")),
    },
};

export default defineConfig({
    // Relative addresses, so that the page also works below a path of a reverse proxy.
    base: "./",
    esbuild: { jsx: "automatic", jsxImportSource: "preact" },
    build: {
        // Browsers of the last three years.
        target: ["chrome111", "firefox115", "safari16.4"],
        // The polyfill would be another script for browsers that need none.
        modulePreload: { polyfill: false },
        // Data URLs would need an exception in the content security policy.
        assetsInlineLimit: 0,
        chunkSizeWarningLimit: 400,
        // One style sheet: none is missing when a part is shown without a connection.
        cssCodeSplit: false,
    },
    // The WebSocket of the page has the address of that for hot reloads.
    server: { hmr: false, proxy },
    preview: { proxy },
    test: {
        environment: "jsdom",
        include: ["tests/unit/**/*.test.{ts,tsx}"],
    },
});
