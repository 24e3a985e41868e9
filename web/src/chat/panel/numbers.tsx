import type { Params } from "../../protocol";
import { NumberControl } from "./parameter";
import { NUMBERS, type Group } from "./parameters";

/** Sets a parameter; `undefined` leaves it to the server. */
export type SetParam = <N extends keyof Params>(name: N, value: Params[N] | undefined) => void;

/** The controls of all numbers in `group`. */
export function Numbers({
    group,
    params,
    maxTokens,
    setParam,
}: {
    group: Group;
    params: Params;
    /** The longest answer that the server allows, if it limits that. */
    maxTokens?: number | undefined;
    setParam: SetParam;
}) {
    const shown = NUMBERS.filter((parameter) => parameter.group === group);
    return (
        <>
            {shown.map((parameter) => (
                <NumberControl
                    key={parameter.name}
                    parameter={
                        parameter.name === "max_tokens" && maxTokens !== undefined
                            ? { ...parameter, max: maxTokens }
                            : parameter
                    }
                    value={params[parameter.name]}
                    onChange={(value) => setParam(parameter.name, value)}
                />
            ))}
        </>
    );
}
