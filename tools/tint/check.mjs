// Has Tint, the WGSL compiler of Chromium and of Edge, judge every text of a file that the program `texts` wrote.
//
//   node check.mjs TEXTS.json FOLDER
//
// FOLDER is the npm package `webgpu` (Dawn, Tint's library, for Node). Each text becomes a module and a pipeline on a device
// with WebGPU's default limits and no feature but those that the text is for. Refused texts are listed by kernel, with the
// place in the file that a person edits.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [textsFile, folder] = process.argv.slice(2);
const { create, globals } = await import(pathToFileURL(join(resolve(folder), 'index.js')));
const { GPUShaderStage } = globals;

// Dawn without a driver: all that it asks of a text, and no machine lacks it. (On llvmpipe the verdicts were the
// same and took several times as long.)
const gpu = create(['backend=null']);

// What Tint has to refuse: were it to take one of these, its silence about the others would say nothing.
const PLANTED = [
  {
    kernel: 'a barrier that some invocations do not reach',
    text: `var<private> bound: u32;
      @compute @workgroup_size(64) fn planted(@builtin(local_invocation_index) lane: u32) {
        bound = 1u;
        for (var i = 0u; i < bound; i++) { workgroupBarrier(); }
      }`,
  },
  {
    kernel: 'a subgroup operation that some invocations do not reach',
    features: ['subgroups'],
    text: `enable subgroups;
      @group(0) @binding(0) var<storage, read_write> y: array<u32>;
      @compute @workgroup_size(64) fn planted(@builtin(local_invocation_index) lane: u32) {
        if (lane < y[0]) { y[lane] = subgroupAdd(lane); }
      }`,
    bindings: ['storage'],
  },
  {
    kernel: 'subgroup operations without the line that enables them',
    features: ['subgroups'],
    text: '@compute @workgroup_size(64) fn planted() { _ = subgroupAdd(1u); }',
  },
  {
    kernel: 'f16 on a device without it',
    text: 'enable f16; @compute @workgroup_size(64) fn planted() { _ = f16(1); }',
  },
  {
    kernel: 'more workgroup memory than every device has',
    text: `var<workgroup> large: array<u32, 4097>;
      @compute @workgroup_size(64) fn planted(@builtin(local_invocation_index) lane: u32) { large[lane] = lane; }`,
  },
  {
    kernel: 'more invocations than every device has',
    text: '@compute @workgroup_size(257) fn planted() {}',
  },
].map((planted) => ({ features: [], bindings: [], pieces: [[0, 'planted']], variant: 'planted', entry: 'planted', ...planted }));

const devices = new Map();

// A device with these features alone.
async function device(features) {
  const key = features.join(' ');
  if (!devices.has(key)) {
    const adapter = await gpu.requestAdapter();
    devices.set(key, await adapter.requestDevice({ requiredFeatures: features }));
  }
  return devices.get(key);
}

// `line` and `column` from 1; the place in the file that the line came from.
function place({ pieces }, line, column) {
  const [first, path] = pieces.findLast(([first]) => first < line) ?? [0, 'head'];
  return `${path}:${line - first}:${column}`;
}

// What the compiler has against a text, or nothing.
async function refusal(text) {
  const on = await device(text.features);
  on.pushErrorScope('validation');
  const module = on.createShaderModule({ code: text.text });
  const { messages } = await module.getCompilationInfo();
  if (messages.some(({ type }) => type === 'error')) {
    await on.popErrorScope();
    return messages.map((m) => `${place(text, m.lineNum, m.linePos)}: ${m.message}`).join('\n    ');
  }
  const entry = (type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } });
  const storage = on.createBindGroupLayout({ entries: text.bindings.map(entry) });
  const params = entry('uniform', 0);
  params.buffer.hasDynamicOffset = true;
  const layouts = [storage, on.createBindGroupLayout({ entries: [params] })];
  const layout = on.createPipelineLayout({ bindGroupLayouts: layouts });
  on.createComputePipeline({ layout, compute: { module, entryPoint: text.entry ?? text.kernel } });
  return (await on.popErrorScope())?.message.trim();
}

let failed = false;
const start = performance.now();

for (const planted of PLANTED) {
  if (!(await refusal(planted))) {
    failed = true;
    console.error(`Tint takes ${planted.kernel}: it no longer judges what it is asked for`);
  }
}

const texts = JSON.parse(readFileSync(textsFile, 'utf8'));
const refused = new Map();
for (const text of texts) {
  const reason = await refusal(text);
  if (reason) {
    const fault = `${text.kernel}: ${reason}`;
    refused.set(fault, [...(refused.get(fault) ?? []), text.variant]);
  }
}
for (const [fault, variants] of refused) {
  console.error(`${fault}\n  refused in\n    ${variants.join('\n    ')}\n`);
}
const count = [...refused.values()].reduce((sum, variants) => sum + variants.length, 0);
const seconds = ((performance.now() - start) / 1000).toFixed(1);
console.log(`${texts.length} texts, ${count} refused by Tint, ${seconds} s`);
if (texts.length === 0) {
  console.error('there was nothing to judge');
}
// Dawn keeps the process alive otherwise.
process.exit(failed || count > 0 || texts.length === 0 ? 1 : 0);
