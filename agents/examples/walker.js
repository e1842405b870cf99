// A whole agent in JavaScript (Node, no packages): walks in circles.
let n = 0;
const send = (message) => process.stdout.write(JSON.stringify(message) + "\n");
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.type === "hello") send({ type: "ready", name: "walker.js" });
  if (message.type === "observe") {
    const dir = ["north", "east", "south", "west"][Math.floor(n++ / 4) % 4];
    send({ type: "act", tick: message.tick, actions: [{ name: "move", args: { dir } }] });
  }
});
