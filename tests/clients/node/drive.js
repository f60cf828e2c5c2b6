// Drives npm's `convertkit-node` 2.0.0, unchanged: its base address is a setting of its constructor.
const { Convertkit } = require("convertkit-node");
const world = JSON.parse(process.argv[2]);

(async () => {
  const client = new Convertkit({
    apiKey: world.api_key,
    apiSecret: world.api_secret,
    baseApiUrl: world.base + "/v3",
  });
  await client.addSubscriber({ email: "bran@example.com", tags: [world.tag], formId: String(world.plain) });
  let refused = false;
  try {
    await client.addSubscriber({ email: "no address", tags: [], formId: String(world.plain) });
  } catch (problem) {
    refused = true;
  }
  if (!refused) throw new Error("a malformed address was taken");
  const answer = await fetch(
    `${world.base}/v3/subscribers?api_secret=${world.api_secret}&email_address=bran@example.com`,
  );
  const [bran] = (await answer.json()).subscribers;
  const tags = await (
    await fetch(`${world.base}/v3/subscribers/${bran.id}/tags?api_key=${world.api_key}`)
  ).json();
  if (bran.state !== "active" || tags.tags[0].id !== world.tag) throw new Error(JSON.stringify([bran, tags]));
  console.log("driven");
})().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
