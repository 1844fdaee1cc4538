// toxiproxy-node-client against the server named on the command line: node.cjs URL CLIENT-MODULE
const net = require("node:net");
const assert = require("node:assert");
const { Toxiproxy } = require(process.argv[3]);

const client = new Toxiproxy(process.argv[2]);

function reply(port) {
  return new Promise((resolve, reject) => {
    const began = Date.now();
    const socket = net.connect(port, "127.0.0.1");
    socket.on("data", (data) => { socket.destroy(); resolve([data.toString(), Date.now() - began]); });
    socket.on("error", reject);
    socket.on("end", () => reject(new Error("ended")));
  });
}

async function main() {
  const upstream = net.createServer((socket) => { socket.on("error", () => {}); socket.write("hello"); });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${upstream.address().port}`;

  const proxy = await client.createProxy({ name: "node", listen: "127.0.0.1:0", upstream: address });
  const port = Number(proxy.listen.split(":").pop());
  assert.strictEqual((await reply(port))[0], "hello");
  assert.deepStrictEqual(Object.keys(await client.getAll()), ["node"]);

  const slow = { name: "slow", type: "latency", stream: "downstream", toxicity: 1 };
  const toxic = await proxy.addToxic({ ...slow, attributes: { latency: 120, jitter: 0 } });
  assert.strictEqual(toxic.name, "slow");
  assert.ok((await reply(port))[1] >= 119);
  const updated = await toxic.update({ attributes: { latency: 1, jitter: 0 }, toxicity: 1 });
  assert.strictEqual(updated.attributes.latency, 1);
  assert.strictEqual((await proxy.getToxic("slow")).attributes.latency, 1);
  await toxic.remove();
  await assert.rejects(proxy.getToxic("slow"));

  const disabled = await proxy.update({ enabled: false, listen: proxy.listen, upstream: address });
  assert.strictEqual(disabled.enabled, false);
  await assert.rejects(reply(port));
  await client.reset();
  assert.strictEqual((await client.get("node")).enabled, true);
  assert.strictEqual((await reply(port))[0], "hello");

  await client.populate([{ name: "more", listen: "127.0.0.1:0", upstream: address, enabled: true }]);
  await assert.rejects(client.createProxy({ name: "node", listen: "127.0.0.1:0", upstream: address }));
  await (await client.get("more")).remove();
  await proxy.remove();
  await assert.rejects(client.get("node"));
  upstream.close();
  console.log("node: all well");
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
