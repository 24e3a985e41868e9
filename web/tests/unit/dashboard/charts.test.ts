import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import { chartSpecs } from "../../../src/dashboard/charts";
import { gpu, metrics } from "../../fakes/metrics";

const ids = (gpus: ReturnType<typeof gpu>[]) =>
    chartSpecs(metrics(1, { gpus })).map(({ id }) => id);

describe("the charts", () => {
    it("are those of the server alone without a GPU", () => {
        expect(ids([])).toEqual(["speed", "first-token", "requests", "kv"]);
    });

    it("have one line for each of several GPUs, and the VRAM of each", () => {
        const cards = [gpu(), gpu({ index: 1, uuid: "GPU-77aa", temp: 80 })];
        const frame = metrics(1, { gpus: cards });
        const specs = chartSpecs(frame);
        const temperature = specs.find(({ id }) => id === "temperature");
        expect(temperature?.series.map(({ read }) => read(frame))).toEqual([65, 80]);
        expect(specs.filter(({ isStacked }) => isStacked).map(({ id }) => id)).toEqual([
            "vram-0",
            "vram-1",
        ]);
    });

    it("leave out what no GPU reports", () => {
        expect(ids([gpu({ power_watts: null })])).not.toContain("power");
    });

    it("have no value for a GPU that a sample does not have", () => {
        const spec = chartSpecs(metrics(1, { gpus: [gpu()] })).find(({ id }) => id === "power");
        expect(spec?.series[0]?.read(metrics(0))).toBeNull();
    });
});
