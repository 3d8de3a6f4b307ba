// The network: @litertjs/core on the model file, and what the page lacks if it does not start.

const RUNTIME = './node_modules/@litertjs/core/wasm/';
const MODEL = './model.tflite';
const SIGNATURE = 'predict_ab';
const SERVE = 'Serve the page with: python docs/browser/serve.py';
const INSTALL = 'Fetch it with: npm install --prefix docs/browser';

// (module (func (result v128) (i8x16.popcnt (i8x16.splat (i32.const 0)))))
const SIMD_MODULE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
]);

/** An error whose message tells what is missing and what to do. */
export class MissingError extends Error {}

/** Names what the browser lacks; throws if it is needed. */
export function checkBrowser() {
  const lacks = (what) => new MissingError(`This browser has no ${what}. Use a current version of it.`);
  if (typeof WebAssembly === 'undefined') throw lacks('WebAssembly');
  if (!WebAssembly.validate(SIMD_MODULE)) throw lacks('WebAssembly SIMD, which the runtime needs');
  if (typeof OffscreenCanvas === 'undefined') throw lacks('OffscreenCanvas');
  if (typeof Worker === 'undefined') throw lacks('web workers');
}

/**
 * Starts the runtime and loads the model.
 *
 * @returns {Promise<{side: number, threads: number, remark: string, predictAb: Function}>}
 *     predictAb: L* Float32Array of side × side → ab Float32Array of side × side × 2, Lab units
 */
export async function startRuntime() {
  checkBrowser();
  const model = await fetchModel();
  let litert;
  try {
    litert = await import('@litertjs/core');
  } catch {
    throw new MissingError(`The runtime @litertjs/core was not found beside the page. ${INSTALL}`);
  }
  const remark = await whyOneThread(litert);
  let engine;
  try {
    engine = await litert.loadLiteRt(RUNTIME, { threads: !remark });
  } catch (error) {
    throw new MissingError(
      `The runtime did not start${told(error)}. Its files may be missing or damaged. ${INSTALL}`,
    );
  }
  let network;
  try {
    network = await litert.loadAndCompile(model, { accelerator: 'wasm' });
  } catch (error) {
    throw new MissingError(`The runtime cannot run model.tflite${told(error)}. ${SERVE}`);
  }
  const signature = network.signatures[SIGNATURE];
  if (!signature) {
    throw new MissingError(
      `model.tflite does not colourise: expected the signature ${SIGNATURE}, received ` +
        `${Object.keys(network.signatures).join(', ')}. ${SERVE}`,
    );
  }
  const [{ name, shape }] = signature.getInputDetails();
  const [{ name: output }] = signature.getOutputDetails();
  return {
    side: shape[1],
    threads: remark ? 1 : engine.liteRtWasm.getThreadCount(),
    remark,
    async predictAb(lightness) {
      const input = new litert.Tensor(lightness, Array.from(shape));
      const outputs = await network.run(SIGNATURE, { [name]: input });
      const ab = outputs[output].toTypedArray();
      input.delete();
      Object.values(outputs).forEach((tensor) => tensor.delete());
      return ab;
    },
  };
}

async function fetchModel() {
  let response;
  try {
    response = await fetch(MODEL);
  } catch (error) {
    throw new MissingError(`The model could not be fetched${told(error)}. ${SERVE}`);
  }
  if (!response.ok) {
    throw new MissingError(
      `The model was not found: expected model.tflite beside the page, the server answered ` +
        `${response.status}. ${SERVE}`,
    );
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (String.fromCharCode(...bytes.subarray(4, 8)) !== 'TFL3') {
    throw new MissingError(`model.tflite is no LiteRT file (${bytes.length} bytes came). ${SERVE}`);
  }
  return bytes;
}

async function whyOneThread(litert) {
  if (!globalThis.crossOriginIsolated) {
    return 'the page is not cross-origin isolated: its server sends no COOP and COEP headers';
  }
  if (!(await litert.supportsFeature('relaxedSimd'))) return 'this browser has no relaxed SIMD';
  if (!(await litert.supportsFeature('threads'))) return 'this browser has no WebAssembly threads';
  return '';
}

function told(error) {
  const message = error instanceof Error ? error.message.trim().split('\n')[0] : '';
  return message ? ` (${message.slice(0, 200)})` : '';
}
