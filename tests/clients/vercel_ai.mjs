// Vercel's AI SDK: a stream, and a call of a tool.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "local", baseURL: process.env.BASE_URL + "/v1", supportsStructuredOutputs: true,
});
const model = provider("local");

let text = "";
const { textStream } = streamText({ model, prompt: "say Hello there.", maxOutputTokens: 200 });
for await (const part of textStream) text += part;
console.log(text);
if (!text) throw new Error("no text");

const call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>';
const add = tool({
  description: "Adds two numbers.",
  inputSchema: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => `say The sum is ${a + b}.`,
});
if (process.env.SCRIPTED) {
  const answer = await generateText({
    model, tools: { add }, stopWhen: stepCountIs(2), prompt: "say " + call,
  });
  console.log(answer.text);
  if (!answer.text.includes("The sum is 3.")) throw new Error("the tool was not used");
}
