// A device's reading of what is published, by tuf-js, which shares no code with the agent's client.
// node other_client.js BASE FOLDER TARGET...: FOLDER holds root.json, and what is kept between two readings.
// Prints {root: version, targets: {name: sha256, or null if nothing of that name is published}}, or {refused: why}.
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { Updater } = require("tuf-js");

async function read([base, folder, ...names]) {
  const targetDir = path.join(folder, "targets");
  fs.mkdirSync(targetDir, { recursive: true });
  const updater = new Updater({
    metadataDir: folder,
    metadataBaseUrl: `${base}/metadata`,
    targetDir,
    targetBaseUrl: `${base}/targets`,
    config: { fetchRetries: 0 },
  });
  await updater.refresh();
  const targets = {};
  for (const name of names) {
    const info = await updater.getTargetInfo(name);
    const file = info && (await updater.downloadTarget(info, path.join(targetDir, encodeURIComponent(name))));
    targets[name] = file ? crypto.createHash("sha256").update(fs.readFileSync(file)).digest("hex") : null;
  }
  return { root: JSON.parse(fs.readFileSync(path.join(folder, "root.json"))).signed.version, targets };
}

read(process.argv.slice(2))
  .catch((error) => ({ refused: `${error.name}: ${error.message}` }))
  .then((found) => console.log(JSON.stringify(found)));
