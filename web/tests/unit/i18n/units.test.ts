import { describe, expect, it } from "vitest";

import "../../fakes/browser";
import { chosenLanguage } from "../../../src/i18n";
import { bytes, difference, duration, percent } from "../../../src/i18n/units";

describe("amounts", () => {
    it.each([
        [0, "0 B"],
        [1023, "1,023 B"],
        [1536, "2 KiB"],
        [512 * 1024 ** 2, "512 MiB"],
        [1.5 * 1024 ** 3, "1.5 GiB"],
        [250 * 1024 ** 3, "250 GiB"],
        [2 * 1024 ** 4, "2 TiB"],
    ])("write %d bytes as %s", (value, text) => expect(bytes(value)).toBe(text));

    it.each([
        [0, "0 ms"],
        [999, "999 ms"],
        [1240, "1.2 s"],
        [42_000, "42 s"],
        [185_000, "3 min 5 s"],
        [3_600_000, "1 h"],
        [187_205_000, "2 d 4 h"],
    ])("write %d milliseconds as %s", (value, text) => expect(duration(value)).toBe(text));

    it("write differences with their sign", () => {
        expect([1024, -1024, 0].map((value) => difference(value, bytes))).toEqual([
            "+1 KiB",
            "−1 KiB",
            "±0 B",
        ]);
    });

    it("write numbers as the language does", () => {
        chosenLanguage.value = "es";
        expect(bytes(1.5 * 1024 ** 3)).toBe("1,5 GiB");
        expect(percent(0.256)).toBe("26 %");
        chosenLanguage.value = null;
    });
});
