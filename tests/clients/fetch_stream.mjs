// fetch, without a package, as a page in a browser uses it: a stream of server-sent events.
async function* chat(messages) {
  const response = await fetch(process.env.BASE_URL + "/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer none" },
    body: JSON.stringify({ messages, stream: true, max_tokens: 200 }),
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the connection was lost");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (!line.startsWith("data: ")) continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event.choices[0]?.delta.content ?? "";
    }
  }
}

let text = "";
for await (const part of chat([{ role: "user", content: "say Hello there." }])) text += part;
console.log(text);
if (!text) throw new Error("no text");
