// `node requirements/bundle.mjs FOLDER`: builds what the dashboard loads of other people's JavaScript
// and CSS into FOLDER, with their licences. The folder is replaced as a whole, so none is half made.
import { build } from "esbuild";
import { cpSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const PACKAGES = join(ROOT, "node_modules");
// Our own scripts that import packages. All others are served as they are written.
const BUNDLED = ["editor"];
const COPIED = {
  "htmx.js": "htmx.org/dist/htmx.min.js",
  "uplot.js": "uplot/dist/uPlot.iife.min.js",
  "uplot.css": "uplot/dist/uPlot.min.css",
};

const wanted = process.argv[2];
const half = `${wanted}.half`;
rmSync(half, { recursive: true, force: true });
mkdirSync(half, { recursive: true });

for (const [name, source] of Object.entries(COPIED)) cpSync(join(PACKAGES, source), join(half, name));

const bundled = await build({
  absWorkingDir: ROOT,
  entryPoints: BUNDLED.map((name) => `src/tidings/web/scripts/${name}.js`),
  outdir: half,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  legalComments: "eof",
  metafile: true,
  logLevel: "warning",
}).catch(() => process.exit(1)); // it has printed why
const used = new Set(Object.values(COPIED).map(packageOf));
for (const input of Object.keys(bundled.metafile.inputs)) {
  const at = input.lastIndexOf("node_modules/");
  if (at >= 0) used.add(packageOf(input.slice(at + "node_modules/".length)));
}
writeFileSync(join(half, "licenses.txt"), [...used].sort().map(licence).join("\n"));

rmSync(wanted, { recursive: true, force: true });
renameSync(half, wanted);

function packageOf(path) {
  return path.split("/").slice(0, path.startsWith("@") ? 2 : 1).join("/");
}

// The licences ask to go along with every copy.
function licence(name) {
  const folder = join(PACKAGES, name);
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const files = readdirSync(folder).filter((one) => /^licen[cs]e/i.test(one));
  const text = files.map((one) => readFileSync(join(folder, one), "utf8").trim()).join("\n\n");
  return `== ${name} ${about.version} (${about.license})\n\n${text || "Its package carries no text of the licence."}\n`;
}
