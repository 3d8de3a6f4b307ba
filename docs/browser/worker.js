// Decodes, squeezes, merges and encodes one picture, off the page's own thread.
//
//   { type: 'open', file, side, preview }  → 'opened' { width, height, lightness, grey }
//   { type: 'colour', ab }                 → 'progress' { share } …, 'coloured' { colour },
//                                            'encoded' { blob }
//
// or 'failed' { message, expected } in between. A worker takes one picture; the next gets a new one.

import { desaturate, LightnessSqueeze, Merge } from './colorizer.js';
import { checkFile, checkSize, PictureError, tooLargeHere, undecodable } from './files.js';

const STRIP_PIXELS = 1 << 20; // 4 MB: the whole picture is in memory once, as the canvas
const READ_BACK = { willReadFrequently: true, colorSpace: 'srgb' };

let canvas;
let context;
let side;
let previewSide;

self.onmessage = async ({ data }) => {
  try {
    await (data.type === 'open' ? open(data) : colour(data));
  } catch (error) {
    const expected = error instanceof PictureError;
    postMessage({ type: 'failed', expected, message: error?.message ?? String(error) });
  }
};

async function open({ file, side: networkSide, preview }) {
  side = networkSide;
  previewSide = preview;
  const kind = await checkFile(file);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: 'from-image',
      colorSpaceConversion: 'default', // to sRGB, through the picture's own profile
      premultiplyAlpha: 'none',
    });
  } catch {
    throw undecodable(kind, file);
  }
  const { width, height } = bitmap;
  checkSize(width, height);
  canvas = new OffscreenCanvas(width, height);
  context = canvas.getContext('2d', READ_BACK);
  if (!context) throw tooLargeHere(width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const squeeze = new LightnessSqueeze(width, height, side);
  for (const strip of strips()) squeeze.add(strip.image.data);
  const lightness = squeeze.finish();
  const grey = reduced((picture) => desaturate(picture));
  postMessage({ type: 'opened', width, height, lightness, grey }, [lightness.buffer, grey]);
}

async function colour({ ab }) {
  const merge = new Merge(canvas.width, canvas.height, side, ab);
  for (const strip of strips()) {
    merge.colour(strip.image.data);
    context.putImageData(strip.image, 0, strip.top);
    postMessage({ type: 'progress', share: (strip.top + strip.image.height) / canvas.height });
  }
  const preview = reduced();
  postMessage({ type: 'coloured', colour: preview }, [preview]);
  const blob = await canvas.convertToBlob({ type: 'image/png' });
  postMessage({ type: 'encoded', blob });
}

function* strips() {
  const { width, height } = canvas;
  const rows = Math.max(1, Math.floor(STRIP_PIXELS / width));
  for (let top = 0; top < height; top += rows) {
    let image;
    try {
      image = context.getImageData(0, top, width, Math.min(rows, height - top));
    } catch {
      throw tooLargeHere(width, height);
    }
    yield { top, image };
  }
}

// The picture at the size of a screen, its pixels changed on the way.
function reduced(change) {
  const scale = Math.min(1, previewSide / Math.max(canvas.width, canvas.height));
  const width = Math.max(1, Math.round(canvas.width * scale));
  const height = Math.max(1, Math.round(canvas.height * scale));
  const small = new OffscreenCanvas(width, height);
  const smallContext = small.getContext('2d', READ_BACK);
  smallContext.imageSmoothingQuality = 'high';
  smallContext.drawImage(canvas, 0, 0, width, height);
  if (change) {
    const image = smallContext.getImageData(0, 0, width, height);
    change(image.data);
    smallContext.putImageData(image, 0, 0);
  }
  return small.transferToImageBitmap();
}
