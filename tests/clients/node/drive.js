// Drives npm's `convertkit-node` 2.0.0, unchanged: its base address is a setting of its constructor.
// The class offers one call; the package carries three more, which take the address with each call.
const axios = require("axios");
const { Convertkit } = require("convertkit-node");
const models = require("convertkit-node/dist/models");
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
  const api = { key: world.api_key, secret: world.api_secret, url: world.base + "/v3" };
  const context = { axios, api };
  const input = { subscriberId: bran.id, email: "bran@example.com", tags: [world.tag] };

  const known = (await models.getSubscriber({ context, input })).subscriber;
  if (JSON.stringify(known) !== JSON.stringify(bran) || bran.state !== "active") throw new Error(JSON.stringify(known));
  const { tags } = await models.getSubscriberTags({ context, input });
  if (tags.length !== 1 || tags[0].id !== world.tag) throw new Error(JSON.stringify(tags));
  const gone = (await models.removeSubscriber({ context, input })).subscriber;
  if (gone.id !== bran.id || gone.state !== "cancelled") throw new Error(JSON.stringify(gone));
  const named = { ...input, first_name: "Bran", fields: { ignored: "by this client" } };
  const { subscription } = await models.addSubscriber({ context, input: named, formId: String(world.plain) });
  if (subscription.state !== "active" || JSON.stringify(subscription.subscriber) !== JSON.stringify({ id: bran.id })) {
    throw new Error(JSON.stringify(subscription));
  }
  console.log("driven");
})().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
