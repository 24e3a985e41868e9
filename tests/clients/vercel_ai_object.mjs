// Vercel's AI SDK: an answer that fits a schema.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "local", baseURL: process.env.BASE_URL + "/v1", supportsStructuredOutputs: true,
});
const City = z.object({ name: z.string().max(30), hasSea: z.boolean() });
const { output } = await generateText({
  model: provider("local"), output: Output.object({ schema: City }),
  prompt: "Which city has the Prado?", maxOutputTokens: 200, temperature: 0,
});
console.log(output);
City.parse(output);
