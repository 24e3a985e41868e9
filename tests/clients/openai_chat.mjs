// OpenAI's package for JavaScript: a stream, a call of a tool, and leaving early.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL + "/v1", apiKey: "none" });
const messages = [{ role: "user", content: "say Hello there." }];

let text = "";
const stream = await client.chat.completions.create({
  model: "local", messages, max_tokens: 20, stream: true,
});
for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
console.log(text);
if (!text) throw new Error("no text");

const endless = await client.chat.completions.create({
  model: "local", messages, stream: true, ignore_eos: true,
});
for await (const _ of endless) break;
console.log("left early");
