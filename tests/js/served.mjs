// Runs the code of a page for a model: served.mjs PAGE_CODE MODEL WIDTH HEIGHT RGBA_FILE. Prints the scores as JSON.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import * as ort from "onnxruntime-web";

const [code, model, width, height, file] = process.argv.slice(2);
ort.env.wasm.numThreads = 1;
const { predict } = await import(pathToFileURL(code));
const session = await ort.InferenceSession.create(readFileSync(model));
const data = new Uint8ClampedArray(readFileSync(file));
console.log(JSON.stringify(Array.from(await predict(session, { data, width: +width, height: +height }))));
