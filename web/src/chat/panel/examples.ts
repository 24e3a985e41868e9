/** Schemas and a tool to begin with. */

import type { TextKey } from "../../i18n";
import type { MockTool } from "../types";

export const EXAMPLE_SCHEMAS: readonly { label: TextKey; schema: unknown }[] = [
    {
        label: "format.example.person",
        schema: {
            type: "object",
            properties: {
                name: { type: "string" },
                age: { type: "integer", minimum: 0, maximum: 130 },
                email: { type: "string", format: "email" },
            },
            required: ["name", "age"],
            additionalProperties: false,
        },
    },
    {
        label: "format.example.list",
        schema: {
            type: "object",
            properties: {
                items: {
                    type: "array",
                    minItems: 1,
                    maxItems: 5,
                    items: { type: "string", maxLength: 40 },
                },
            },
            required: ["items"],
            additionalProperties: false,
        },
    },
    {
        label: "format.example.verdict",
        schema: {
            type: "object",
            properties: {
                reason: { type: "string", maxLength: 200 },
                verdict: { enum: ["positive", "neutral", "negative"] },
            },
            required: ["reason", "verdict"],
            additionalProperties: false,
        },
    },
];

export const EXAMPLE_TOOL: MockTool = {
    tool: {
        type: "function",
        function: {
            name: "get_weather",
            description: "Tells the weather of a town.",
            parameters: {
                type: "object",
                properties: { town: { type: "string", description: "The name of the town." } },
                required: ["town"],
            },
        },
    },
    result: '{"sky": "sunny", "celsius": 21}',
};

export const EMPTY_PARAMETERS = { type: "object", properties: {} };
