/** The fields of the settings whose text is wrong. What they show is not what would be sent. */

import { computed, signal } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";

export interface Fault {
    /** The name of the field. */
    field: string;
    /** What is wrong with its text. */
    problem: string;
}

const faults = signal<ReadonlyMap<string, Fault>>(new Map());

/** The first fault; `null` if all that is shown would be sent. */
export const settingsFault = computed(() => [...faults.value.values()][0] ?? null);

/** Reports what is wrong with the field `field` as long as it is shown; `null` is nothing. */
export function useFault(field: string, problem: string | null): void {
    const id = useId();
    useEffect(() => {
        if (problem === null) return;
        faults.value = new Map(faults.value).set(id, { field, problem });
        return () => {
            const left = new Map(faults.value);
            left.delete(id);
            faults.value = left;
        };
    }, [field, problem]);
}
