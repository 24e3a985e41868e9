import { afterEach, describe, expect, it } from "vitest";

import "../../fakes/browser";
import { chosenLanguage, clock } from "../../../src/i18n";

describe("times of day", () => {
    const midnight = new Date(2026, 8, 21, 0, 5, 9).getTime();
    afterEach(() => (chosenLanguage.value = null));

    it.each(["en", "es"] as const)("have 24 hours and one width in %s", (language) => {
        chosenLanguage.value = language;
        expect(clock(midnight)).toBe("00:05:09");
        expect(clock(midnight + 15 * 3_600_000, false)).toBe("15:05");
    });
});
