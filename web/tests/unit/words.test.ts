import { afterEach, describe, expect, it } from "vitest";

import "../fakes/browser";
import { chosenLanguage } from "../../src/i18n";
import {
    backendWords,
    causeWords,
    errorWords,
    lostWords,
    rightsWords,
    warningWords,
} from "../../src/words";

afterEach(() => (chosenLanguage.value = null));

describe("what the server says", () => {
    it("is said in the language of the page", () => {
        chosenLanguage.value = "es";
        expect(errorWords("busy")).toMatch(/demasiadas peticiones/);
        expect(causeWords("SIGKILL")).toMatch(/lo han matado.*SIGKILL/);
        expect(causeWords("SIGSEGV: last words")).toMatch(/ha fallado/);
        expect(warningWords("a call of a tool could not be read: cut; it is in the text")).toMatch(
            /^El modelo ha empezado/,
        );
        expect(rightsWords(["infer", "metrics"])).toBe(
            "usar el modelo y ver el panel y todas las peticiones",
        );
    });

    it("has a text where the code is not known", () => {
        expect(errorWords("of_tomorrow")).toBe("The server reports an error.");
        expect(causeWords("exit code 7")).toBe("exit code 7");
        expect(warningWords("top_kk is ignored: there is no such field")).toMatch(/ignored/);
    });

    it("says why the connection was lost only if that means something", () => {
        const lost = { kind: "lost", reason: "", retryAt: 0 } as const;
        expect(lostWords({ ...lost, code: 1006 })).toBeNull();
        expect(lostWords({ ...lost, code: null })).toBe("The server no longer answers.");
        expect(lostWords({ ...lost, code: 1001 })).toBe("The server is shutting down.");
        expect(lostWords({ kind: "open" })).toBeNull();
    });

    it("writes the name of what computes as people do", () => {
        expect(backendWords("cpu")).toBe("CPU");
        expect(backendWords("vulkan")).toBe("vulkan");
    });
});
