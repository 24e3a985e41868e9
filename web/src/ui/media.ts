import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Whether a media query applies, for what style sheets alone cannot do. */
export function useMedia(query: string): boolean {
    const applies = useSignal(matchMedia(query).matches);
    useEffect(() => {
        const list = matchMedia(query);
        const update = () => (applies.value = list.matches);
        update();
        list.addEventListener("change", update);
        return () => list.removeEventListener("change", update);
    }, [query]);
    return applies.value;
}
