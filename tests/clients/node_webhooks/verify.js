// Verifies what a notifier posted by npm's `standardwebhooks`: `verify.js FILE`, one request a line.
// Each line holds the secret, the headers and the body; a body that was changed must be refused.
const fs = require("fs");
const { Webhook } = require("standardwebhooks");

let verified = 0;
for (const line of fs.readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean)) {
  const { secret, headers, body } = JSON.parse(line);
  const webhook = new Webhook(secret);
  const payload = webhook.verify(body, headers);
  if (JSON.stringify(payload) !== JSON.stringify(JSON.parse(body))) throw new Error("another payload");
  let refused = false;
  try {
    webhook.verify(body + " ", headers);
  } catch (problem) {
    refused = true;
  }
  if (!refused) throw new Error("a changed body was verified");
  verified += 1;
}
console.log(`verified ${verified}`);
