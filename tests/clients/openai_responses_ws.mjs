// OpenAI's package for JavaScript: the Responses API over a WebSocket.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const client = new OpenAI({ baseURL: process.env.BASE_URL + "/v1", apiKey: "none" });
const socket = new ResponsesWS(client);
const done = new Promise((resolve, reject) => {
  socket.on("error", reject);
  socket.on("event", (event) => {
    if (event.type === "response.completed" || event.type === "response.incomplete") {
      resolve(event);
    }
  });
});
socket.send({
  type: "response.create", model: "local", input: "say Hello there.", max_output_tokens: 20,
  stream_id: "a",
});
const event = await done;
console.log(event.response.output[0].content[0].text, event.stream_id);
if (event.stream_id !== "a") throw new Error("another lane");
socket.close();
