import { render, type ComponentChild } from "preact";
import { act } from "preact/test-utils";
import { afterEach, describe, expect, it, vi } from "vitest";

import "../../fakes/browser";
import { Chart } from "../../../src/dashboard/chart";
import { chartSpecs } from "../../../src/dashboard/charts";
import { GpuCard } from "../../../src/dashboard/gpu-card";
import { StatePanel } from "../../../src/dashboard/state-panel";
import { connection, metrics as latest, samples } from "../../../src/session";
import { gpu, inference, metrics } from "../../fakes/metrics";

const plots = vi.hoisted(() => ({ made: 0, destroyed: 0, pinned: null as number | null }));

vi.mock("../../../src/dashboard/plot", () => ({
    makePlot: () => {
        plots.made += 1;
        return {
            update: () => {},
            pin: (time: number | null) => (plots.pinned = time),
            destroy: () => (plots.destroyed += 1),
        };
    },
}));

function show(component: ComponentChild): HTMLElement {
    const host = document.createElement("div");
    document.body.append(host);
    act(() => render(component, host));
    return host;
}

/** The page as it is after `frames`. */
function receive(frames: ReturnType<typeof metrics>[]): void {
    connection.value = { kind: "open" };
    samples.value = frames;
    latest.value = frames[frames.length - 1] ?? null;
}

afterEach(() => {
    for (const host of document.body.children) act(() => render(null, host));
    document.body.replaceChildren();
});

describe("the card of a GPU", () => {
    it("says why the GPU is throttled", () => {
        const card = show(
            <GpuCard
                gpu={gpu({ throttling: true, throttle_reasons: ["power_brake"] })}
                reserve={0}
            />,
        );
        expect(card.textContent).toContain("Throttled: the power supply asked for less power.");
    });

    it("shows no value that the GPU does not report", () => {
        const card = show(<GpuCard gpu={gpu({ fan_percent: null })} reserve={0} />);
        expect(card.textContent).not.toContain("Fan");
        expect(card.textContent).toContain("Power");
    });

    it("says that a GPU does not answer", () => {
        const absent = gpu({ present: false, temp: null, vram_total_mb: null });
        expect(show(<GpuCard gpu={absent} reserve={0} />).textContent).toContain("does not answer");
    });
});

describe("the state", () => {
    it("shows how much of the model is loaded", () => {
        receive([metrics(1, { inference: inference({ state: "loading", load_progress: 0.42 }) })]);
        const panel = show(<StatePanel />);
        expect(panel.textContent).toContain("Loading the model");
        expect(panel.querySelector("progress")?.value).toBe(0.42);
        expect(panel.textContent).toContain("42 %");
    });

    it("says why the model restarts", () => {
        receive([metrics(1, { inference: inference({ state: "restarting", cause: "SIGKILL" }) })]);
        expect(show(<StatePanel />).querySelector(".state-details")?.textContent).toMatch(
            /SIGKILL · since/,
        );
    });

    it("is that of the connection once it is lost", () => {
        receive([metrics(1)]);
        connection.value = { kind: "lost", code: null, reason: "the server is silent", retryAt: 0 };
        expect(show(<StatePanel />).textContent).toContain("The server no longer answers.");
    });
});

describe("a chart", () => {
    const frames = Array.from({ length: 200 }, (_, i) =>
        metrics(1000 + i, { inference: inference({ tps_now: i }) }),
    );
    const speed = () => chartSpecs(frames[0]!)[0]!;

    it("frees its plot when it is left", async () => {
        receive(frames);
        const { made, destroyed } = plots;
        const host = show(<Chart spec={speed()} />);
        await vi.waitFor(() => expect(plots.made).toBe(made + 1));
        act(() => render(null, host));
        expect(plots.destroyed).toBe(destroyed + 1);
    });

    it("shows the values of the time that the keys choose", async () => {
        receive(frames);
        const { made } = plots;
        const host = show(<Chart spec={speed()} />);
        await vi.waitFor(() => expect(plots.made).toBe(made + 1));
        const slider = host.querySelector('[role="slider"]')!;
        const press = (key: string) =>
            act(() => void slider.dispatchEvent(new KeyboardEvent("keydown", { key })));
        press("Home");
        expect(plots.pinned).toBe(1000);
        expect(slider.getAttribute("aria-valuetext")).toContain("Tokens per second: 0 /s");
        press("ArrowRight");
        press("ArrowRight");
        expect(host.querySelector(".chart-legend")?.textContent).toBe("2 /s");
        press("Escape");
        expect(plots.pinned).toBeNull();
        expect(host.querySelector(".chart-legend")?.textContent).toBe("199 /s");
    });

    it("has a table of at most 60 rows, the latest first", async () => {
        receive(frames);
        const host = show(<Chart spec={speed()} />);
        const details = host.querySelector("details")!;
        act(() => {
            details.open = true;
            details.dispatchEvent(new Event("toggle"));
        });
        await vi.waitFor(() => expect(host.querySelectorAll("tbody tr")).toHaveLength(60));
        expect(host.querySelector("tbody tr")?.textContent).toContain("199 /s");
    });
});
